import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ring } from '../../../../src/natstream/web/static/js/list/ring.js';

test('a ring has the newest items, each with its number', () => {
  const ring = new Ring(3);
  for (const item of 'abcde') ring.push(item);
  assert.deepEqual([ring.first, ring.end, ring.length, ring.full], [2, 5, 3, true]);
  assert.deepEqual([1, 2, 4, 5].map((seq) => ring.at(seq)), [undefined, 'c', 'e', undefined]);
  ring.clear();
  assert.deepEqual([ring.length, ring.push('f'), ring.at(5)], [0, 5, 'f']);
});
