import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Doubles, parseId } from '../../../../src/natstream/web/static/js/stream/resume.js';

test('ids tell the arrival and the process', () => {
  assert.deepEqual(parseId('1700000000000-ab12-7'), { arrived: 1700000000000, epoch: 'ab12' });
  for (const id of ['', 'x', '1-2', '1-a-', '-a-1', '1-A-1']) assert.equal(parseId(id), null, id);
});

test('an equal line that arrives later is no repetition', () => {
  const doubles = new Doubles();
  const entry = (id) => ({ id, time: 5, machine: 'm', stream: '', message: 'x' });
  doubles.expect('10000-a-1', [entry('10000-a-1')]);
  assert.equal(doubles.has(entry('90000-b-1')), false);
  assert.equal(doubles.has(entry('10000-b-2')), false);
});
