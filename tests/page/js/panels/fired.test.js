import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firedText, marksOf } from '../../../../src/natstream/web/static/js/panels/fired.js';

test('a mark says which watch has fired, and why', () => {
  const [mark] = marksOf([{ name: 'panics', fired: [{ kind: 'matched', at_ms: 5, count: 3, first_id: '1-2-3' }] }]);
  assert.deepEqual(mark, { time: 5, kind: 'watch', seq: -1, text: 'watch panics: 3 lines matched', id: '1-2-3' });
  for (const [kind, words] of [['absent', /nothing matches/], ['back', /match again/], ['unknown', /cannot be told/], ['later', /later/]]) {
    assert.match(firedText('quiet', { kind, at_ms: 5, count: 0, first_id: '' }), words);
  }
});
