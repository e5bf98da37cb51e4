import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupOf, GROUPS } from '../../../../src/natstream/web/static/js/panels/bins.js';
import { levelOrigin } from '../../../../src/natstream/web/static/js/panels/level_origin.js';

const origin = (level, raw, more = {}) =>
  levelOrigin({ level, continues: false, provider: 'app', ...more }, JSON.stringify(raw));

test('the details say where a level comes from', () => {
  const fly = { log: { level: 'info' } };
  assert.equal(origin('error', fly), 'from the message; Fly says info');
  assert.equal(origin('error', fly, { continues: true }), 'from the first line of its group; Fly says info');
  assert.equal(origin('info', fly), 'Fly says it, and the message says no other');
  assert.equal(origin('info', fly, { provider: 'runner' }), 'as Fly says');
  assert.equal(origin('warn', { level: 'WARNING', log: { level: 'info' } }), 'the sender says it, and the message says no other');
  assert.equal(origin('error', { message: 'x' }), 'from the message');
  assert.equal(origin('', fly), '');
  assert.equal(origin('error', {}), '');
});

test('a payload that is no object says nothing', () => {
  for (const raw of ['', 'x', '[]', 'null', '5']) {
    assert.match(levelOrigin({ level: 'error', continues: false, provider: 'app' }, raw), /^from the message$/);
  }
});

test('every level has a colour, and a name of JavaScript objects is an unknown one', () => {
  for (const level of ['trace', 'debug', 'info', 'warn', 'error']) assert.equal(GROUPS[groupOf(level)], level);
  for (const level of ['constructor', '__proto__', 'toString', '']) assert.equal(GROUPS[groupOf(level)], 'other');
});
