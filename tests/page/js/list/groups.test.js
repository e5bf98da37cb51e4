import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Groups } from '../../../../src/natstream/web/static/js/list/groups.js';
import { entriesOf, groupIn } from '../../../../src/natstream/web/static/js/stream/around.js';

const entry = (more) => ({
  id: '', time: 0, app: 'web', machine: 'm', stream: 'stdout', level: 'error', continues: false, note: null, ...more,
});
const fill = (...entries) => {
  const groups = new Groups();
  return [groups, entries.map((one, seq) => groups.push(seq, entry(one), 0))];
};

test('continuation lines join the newest head of their machine that has their level', () => {
  const [groups, heads] = fill(
    {}, { machine: 'other' }, { continues: true }, { level: 'info' }, { continues: true },
    { continues: true, machine: 'other' }, { continues: true, level: 'info' },
  );
  assert.deepEqual(heads, [-1, -1, 0, -1, 0, 1, 3]);
  assert.deepEqual(groups.of(4).members, [2, 4]);
  assert.deepEqual([groups.headOf(4), groups.isMember(4), groups.isMember(0), groups.headOf(9)], [0, true, false, 9]);
});

test('a continuation line without its head has a row, and the next ones join it', () => {
  const [, heads] = fill({ continues: true, level: 'info' }, { continues: true }, { continues: true });
  assert.deepEqual(heads, [-1, -1, 1]);
});

test('a line more than a second later continues no earlier line', () => {
  const [, heads] = fill({}, { continues: true, time: 900 }, { continues: true, time: 1_800 }, { continues: true, time: 2_801 });
  assert.deepEqual(heads, [-1, 0, 0, -1]);
});

test('a head too many lines before is no head any more', () => {
  const others = Array.from({ length: 21 }, () => ({ level: 'info' }));
  const [, heads] = fill({}, ...others.slice(1), { continues: true });
  assert.equal(heads.at(-1), 0);
  assert.equal(fill({}, ...others, { continues: true })[1].at(-1), -1);
});

test('the next line of an evicted head is the head of the others', () => {
  const [groups] = fill({}, { continues: true }, { continues: true });
  assert.equal(groups.evict(0), 1);
  assert.deepEqual([groups.headOf(2), groups.isMember(1)], [1, false]);
  assert.equal(groups.push(3, entry({ continues: true }), 1), 1);
  assert.equal(groups.evict(1), 2);
  assert.equal(groups.evict(2), 3);
  assert.equal(groups.evict(3), -1);
  assert.equal(groups.push(4, entry({ continues: true }), 4), -1);
});

test('the number of machines that are remembered is bounded', () => {
  const groups = new Groups();
  groups.push(0, entry({ machine: 'first' }), 0);
  for (let seq = 1; seq <= 2_000; seq++) groups.push(seq, entry({ machine: `m${seq}` }), 0);
  assert.equal(groups.push(2_001, entry({ machine: 'first', continues: true }), 0), -1);
});

test('the group of a line is found among the lines around it', () => {
  const event = (id, more) => JSON.stringify({ id, message: id, timestamp: 1, type: 'log', machine: 'm', app: 'web', stream: 'stdout', level: 'error', ...more });
  const lines = entriesOf([
    '{"message":"Connected to log stream","timestamp":1,"type":"system","persistent":false}',
    event('1-a-1'), event('1-a-2', { machine: 'n' }), event('1-a-3', { continues: true }),
    '{"message":"100,000 lines were searched","timestamp":1,"type":"system","persistent":false}',
    event('1-a-4', { continues: true }), event('1-a-5'), '',
  ].join('\n'));
  assert.equal(lines.length, 6);
  assert.equal(lines[3].note.tone, 'notice');
  assert.deepEqual(groupIn(lines, lines[4]).map(({ id }) => id), ['1-a-1', '1-a-3', '1-a-4']);
  assert.deepEqual(groupIn(lines, lines[5]).map(({ id }) => id), ['1-a-5']);
});
