import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sane } from '../../../../src/natstream/web/static/js/panels/prefs.js';

test('choices that are missing or broken fall back to the defaults', () => {
  assert.equal(sane(null).wrap, true);
  assert.equal(sane({ theme: 'pink', wrap: 'yes', span: 7, clock: 'utc' }).theme, 'system');
  assert.equal(sane({ clock: 'utc' }).clock, 'utc');
  assert.equal(sane({ span: 7 }).span, 300);
  assert.equal('x' in sane({ x: 1 }), false);
});
