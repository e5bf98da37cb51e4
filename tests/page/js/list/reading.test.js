import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Reading } from '../../../../src/natstream/web/static/js/list/reading.js';

const state = { chosen: '', y: 0 };
/** @param {string[]} ids @returns {any[]} */
const lines = (...ids) => ids.map((id) => ({ id }));

test('a line is found among new ones', () => {
  const reading = new Reading('5-abc-2', state);
  assert.deepEqual(reading.seek(lines('', '5-abc-1', '5-abc-2', '5-abc-3'), 10), { place: 12, chosen: -1 });
});

test('the next line stands for a line that the new ones lack', () => {
  const other = new Reading('5-abc-2', state);
  assert.deepEqual(other.seek(lines('5-abc-1', '5-abc-4', '5-abc-5'), 0), { place: 1, chosen: -1 });
  const old = new Reading('5-abc-2', state);
  assert.deepEqual(old.seek(lines('4-xyz-9', '6-xyz-1'), 0), { place: 1, chosen: -1 });
});

test('a line is placed once, and the chosen line is found apart from it', () => {
  const reading = new Reading('5-abc-2', { chosen: '5-abc-7', y: 0 });
  assert.equal(reading.seek(lines('5-abc-2'), 0).place, 0);
  assert.deepEqual(reading.seek(lines('5-abc-6', '5-abc-7'), 1), { place: -1, chosen: 2 });
  assert.deepEqual(reading.seek(lines('5-abc-7'), 3), { place: -1, chosen: -1 });
});
