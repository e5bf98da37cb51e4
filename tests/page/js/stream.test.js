import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SseParser, decode } from '../../../src/natstream/web/static/js/stream/sse.js';
import { Doubles, parseId } from '../../../src/natstream/web/static/js/stream/resume.js';
import { toEvent } from '../../../src/natstream/web/static/js/panels/details.js';
import { Intake } from '../../../src/natstream/web/static/js/stream/intake.js';
import { summarize } from '../../../src/natstream/web/static/js/panels/status.js';
import { random } from './page.js';

const STREAM =
  'retry: 1500\n\ndata: {"message":"Connected"}\n\nid: 1-a-1\ndata: {"message":"x"}\n\n'
  + ': keep-alive\nid: 1-a-2\n\nid: 1-a-3\r\ndata: {"message":"y"}\r\n\r\n';
const BLOCKS = [
  { retry: 1500 }, { data: '{"message":"Connected"}' }, { id: '1-a-1', data: '{"message":"x"}' },
  { id: '1-a-2' }, { id: '1-a-3', data: '{"message":"y"}' },
];

test('a stream is the same blocks wherever its text is cut', () => {
  const next = random(3);
  for (let round = 0; round < 300; round++) {
    const parser = new SseParser();
    const blocks = [];
    for (let at = 0; at < STREAM.length;) {
      const size = 1 + Math.floor(next() * 20);
      blocks.push(...parser.push(STREAM.slice(at, at + size)));
      at += size;
    }
    assert.deepEqual(blocks, BLOCKS);
  }
});

test('comments and unknown fields are nothing', () => {
  assert.deepEqual(new SseParser().push(': hello\n\nfoo: bar\n\n\n\n'), []);
});

test('an event is its id and its object; what is no object is passed over', () => {
  assert.deepEqual(decode({ id: '1-a-1', data: '{"a":1}' }), { id: '1-a-1', event: { a: 1 } });
  assert.deepEqual(decode({ data: '{}' }), { id: '', event: {} });
  for (const data of ['1', 'null', '{', '{}]', '"x"', '{},{}', '']) {
    assert.equal(decode({ id: '1', data })?.event?.constructor === Object && data !== '{},{}', false, data);
  }
});

test('a key named __proto__ is a key', () => {
  const { event } = decode({ id: '1', data: '{"__proto__":{"x":1},"message":"m"}' });
  assert.equal(event.x, undefined);
  assert.equal(Object.getPrototypeOf(event), Object.prototype);
});

test('ids tell the arrival and the process', () => {
  assert.deepEqual(parseId('1700000000000-ab12-7'), { arrived: 1700000000000, epoch: 'ab12' });
  for (const id of ['', 'x', '1-2', '1-a-', '-a-1', '1-A-1']) assert.equal(parseId(id), null, id);
});

const line = (id, message, time = 5) => ({
  id, event: { message, timestamp: time, type: 'log', machine: 'm', app: 'web' },
});

test('lines repeated by another process are left out, each as often as it was shown', () => {
  const intake = new Intake();
  intake.begin(1_000);
  const shown = intake.take([line('9000-a-1', 'x'), line('9000-a-2', 'x'), line('9001-a-3', 'y')]).entries;
  const note = intake.resume('Reconnected.', '9001-a-3', 9_500, [...shown].reverse());
  const { entries, noted } = intake.take([
    line('9000-b-1', 'x'), line('9001-b-2', 'x'), line('9001-b-3', 'x'),
    line('9001-b-4', 'y'), line('9002-b-5', 'z'),
  ]);
  assert.deepEqual(entries.map((entry) => entry.message), ['x', 'z']);
  assert.equal(noted, note);
  assert.deepEqual([note.note.replayed, note.note.doubled], [2, 3]);
});

test('the same process repeats nothing: lines that are alike are all shown', () => {
  const intake = new Intake();
  intake.begin(1_000);
  const shown = intake.take([line('9000-a-1', 'x')]).entries;
  intake.resume('Reconnected.', '9000-a-1', 9_500, shown);
  assert.equal(intake.take([line('9001-a-2', 'x')]).entries.length, 1);
});

test('what was shown in the stead of the journal is known again, however late that stores it', () => {
  const intake = new Intake();
  const stored = (id, message) => {
    const event = line(id, message);
    event.event.persistent = true;
    return event;
  };
  intake.begin(1_000);
  const shown = intake.take([
    stored('2000-j1-1', 'a'), line('9000-a-1', 'b'), line('50000-a-2', 'c'), line('50001-a-3', 'c'),
    line('50001-a-4', 'd'),
  ]).entries;
  const note = intake.resume('Reconnected.', '50001-a-4', 90_000, [...shown].reverse());
  const { entries } = intake.take([
    stored('70000-j1-2', 'b'), stored('70001-j1-3', 'c'), stored('70001-j1-4', 'of another'),
    stored('70001-j1-5', 'c'), stored('70002-j1-6', 'c'), stored('70003-j1-7', 'a'),
  ]);
  assert.deepEqual(entries.map(({ message }) => message), ['of another', 'c', 'a']);
  assert.equal(note.note.doubled, 3);
  // Long after that, what is alike is new.
  assert.equal(intake.take([stored('100000-j1-8', 'd')]).entries.length, 1);
});

test('an event says whether it is stored', () => {
  const intake = new Intake();
  intake.begin(0);
  const event = { ...line('1-a-1', 'x').event, persistent: true };
  const { entries } = intake.take([{ id: '1-a-1', event }, line('1-a-2', 'y')]);
  assert.deepEqual(entries.map((entry) => toEvent(entry).persistent), [true, false]);
});

test('what is alike but later is no repetition', () => {
  const doubles = new Doubles();
  const entry = (id) => ({ id, time: 5, machine: 'm', stream: '', message: 'x' });
  doubles.expect('10000-a-1', [entry('10000-a-1')]);
  assert.equal(doubles.has(entry('90000-b-1')), false);
  assert.equal(doubles.has(entry('10000-b-2')), false);
});

test('lines from before the connection are counted apart from live ones', () => {
  const intake = new Intake();
  intake.begin(1_000);
  assert.equal(intake.take([line('999-a-1', 'old'), line('1000-a-2', 'old'), line('1001-a-3', 'new')]).live, 1);
  assert.equal(intake.remembered, 2);
  assert.equal(intake.take([line('1-a-4', 'a clock that was set back')]).live, 1);
});

test('a gap is a note at its place; what is still wrong is said once', () => {
  const intake = new Intake();
  intake.begin(1_000);
  const { entries } = intake.take([
    { id: '', event: { message: 'NATS is gone', type: 'error', timestamp: 1 } },
    { id: '', event: { message: 'NATS is gone', type: 'error', timestamp: 2 } },
    { id: '', event: { message: '5 missing', type: 'system', timestamp: 3, gap: { missed: 5, since: 2, at_most: true } } },
    { id: '', event: { message: '? missing', type: 'system', timestamp: 3, gap: { missed: null, since: null } } },
  ]);
  assert.deepEqual(entries.map(({ note }) => [note.tone, note.missed, note.atMost]),
    [['error', null, false], ['gap', 5, true], ['gap', null, false]]);
});

test('events with the wrong types in them are lines all the same', () => {
  const intake = new Intake();
  intake.begin(0);
  const { entries } = intake.take([
    { id: '1-a-1', event: {} },
    { id: '1-a-2', event: { message: 7, timestamp: 'x', type: null, app: ['a'], level: {} } },
  ]);
  assert.deepEqual(entries.map(({ message }) => message), ['', '7']);
  assert.ok(Number.isNaN(entries[1].time));
});

const feed = (name, more = {}) => ({ name, detail: 'why', until: 0, ...more });
const up = { state: 'up', since: 0, detail: '' };

test('the state says the worst that is true', () => {
  const status = (sources) => ({ sources });
  const all = [
    [feed('live'), status({ nats: up, drain: up }), 'good', 'Live'],
    [feed('live'), null, 'busy', 'Connected'],
    [feed('live'), status({ nats: { ...up, state: 'lost' }, drain: up }), 'bad', 'Connected · NATS lost'],
    [feed('live'), status({ nats: { ...up, state: 'denied' } }), 'bad', 'Connected · NATS denied'],
    [feed('live'), status({ nats: up, journal: { ...up, state: 'lost', reason: 'full' } }), 'bad', 'Connected · journal full'],
    [feed('live'), status({ journal: { ...up, state: 'denied', reason: 'unfit' } }), 'bad', 'Connected · journal unfit'],
    [feed('live'), status({ journal: { ...up, state: 'denied', reason: 'denied' } }), 'bad', 'Connected · journal denied'],
    [feed('live'), status({ journal: { ...up, state: 'lost', reason: 'reader' } }), 'bad', 'Connected · journal lost'],
    [feed('live'), status({ nats: { ...up, state: 'connecting' } }), 'busy', 'Connected · NATS connecting'],
    [feed('live'), status({ hub: { ...up, state: 'crashed' }, nats: up }), 'bad', 'Connected · hub crashed'],
    [feed('connecting'), status({ nats: up }), 'busy', 'Connecting'],
    [feed('waiting', { until: 4_200 }), status({ nats: up }), 'bad', 'Disconnected · again in 4 s'],
    [feed('waiting', { until: 900 }), null, 'bad', 'Disconnected · trying again'],
    [feed('denied'), null, 'bad', 'Token needed'],
    [feed('refused'), null, 'bad', 'Not understood'],
    [feed('idle'), null, 'idle', 'New lines wait in the service'],
  ];
  for (const [state, known, tone, text] of all) {
    const summary = summarize(state, known, 'the page was hidden', 1_000);
    assert.deepEqual([summary.tone, summary.text], [tone, text]);
  }
  // Before the first connection, nothing waits anywhere.
  assert.equal(summarize(feed('idle'), null, '', 1_000).text, 'Connecting');
});
