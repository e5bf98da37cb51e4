import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Intake } from '../../../../src/natstream/web/static/js/stream/intake.js';

const line = (id, message, time = 5) => ({
  id, event: { message, timestamp: time, type: 'log', machine: 'm', app: 'web' },
});

test('lines repeated by another process are left out, each as often as it was shown', () => {
  const intake = new Intake();
  intake.begin(1_000);
  const shown = intake.accept([line('9000-a-1', 'x'), line('9000-a-2', 'x'), line('9001-a-3', 'y')]).entries;
  const note = intake.resume('Reconnected.', '9001-a-3', 9_500, [...shown].reverse());
  const { entries, noted } = intake.accept([
    line('9000-b-1', 'x'), line('9001-b-2', 'x'), line('9001-b-3', 'x'),
    line('9001-b-4', 'y'), line('9002-b-5', 'z'),
  ]);
  assert.deepEqual(entries.map((entry) => entry.message), ['x', 'z']);
  assert.equal(noted, note);
  assert.deepEqual([note.note.replayed, note.note.doubled], [2, 3]);
});

test('the same process repeats no line, so that equal lines are all shown', () => {
  const intake = new Intake();
  intake.begin(1_000);
  const shown = intake.accept([line('9000-a-1', 'x')]).entries;
  intake.resume('Reconnected.', '9000-a-1', 9_500, shown);
  assert.equal(intake.accept([line('9001-a-2', 'x')]).entries.length, 1);
});

test('lines that were shown without the journal are recognised, however late it stores them', () => {
  const intake = new Intake();
  const stored = (id, message) => {
    const event = line(id, message);
    event.event.persistent = true;
    return event;
  };
  intake.begin(1_000);
  const shown = intake.accept([
    stored('2000-j1-1', 'a'), line('9000-a-1', 'b'), line('50000-a-2', 'c'), line('50001-a-3', 'c'),
    line('50001-a-4', 'd'),
  ]).entries;
  const note = intake.resume('Reconnected.', '50001-a-4', 90_000, [...shown].reverse());
  const { entries } = intake.accept([
    stored('70000-j1-2', 'b'), stored('70001-j1-3', 'c'), stored('70001-j1-4', 'of another'),
    stored('70001-j1-5', 'c'), stored('70002-j1-6', 'c'), stored('70003-j1-7', 'a'),
  ]);
  assert.deepEqual(entries.map(({ message }) => message), ['of another', 'c', 'a']);
  assert.equal(note.note.doubled, 3);
  // Long after that, what is alike is new.
  assert.equal(intake.accept([stored('100000-j1-8', 'd')]).entries.length, 1);
});

test('lines from before the connection are counted apart from live ones', () => {
  const intake = new Intake();
  intake.begin(1_000);
  assert.equal(intake.accept([line('999-a-1', 'old'), line('1000-a-2', 'old'), line('1001-a-3', 'new')]).live.length, 1);
  assert.equal(intake.remembered, 2);
  assert.equal(intake.accept([line('1-a-4', 'a clock that was set back')]).live.length, 1);
});

test('a gap stands between its lines; a repeated notice is shown once', () => {
  const intake = new Intake();
  intake.begin(1_000);
  const { entries } = intake.accept([
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
  const { entries } = intake.accept([
    { id: '1-a-1', event: {} },
    { id: '1-a-2', event: { message: 7, timestamp: 'x', type: null, app: ['a'], level: {} } },
  ]);
  assert.deepEqual(entries.map(({ message }) => message), ['', '7']);
  assert.ok(Number.isNaN(entries[1].time));
});

test('the first line of a newer release of an app marks it', () => {
  const intake = new Intake();
  let number = 0;
  const of = (app, release) => {
    const one = line(`9000-a-${++number}`, 'x');
    Object.assign(one.event, { app, release });
    return one;
  };
  const kinds = (...events) => intake.accept(events).entries.map(({ kind }) => kind);
  intake.begin(1_000);
  assert.deepEqual(
    kinds(of('web', '9'), of('api', '3'), of('web'), of('web', '10'), of('web', '9'), of('web', '10'), of('api', '3')),
    ['', '', '', 'release', '', '', ''],
  );
  assert.deepEqual(kinds(of('web', 'odd'), of('api', '4')), ['', 'release']);
  intake.begin(2_000);
  assert.deepEqual(kinds(of('web', '10')), [''], 'the first release that a page sees is not new');
});

test('a notice between live lines takes no place of a line', () => {
  const intake = new Intake();
  intake.begin(1_000);
  const notice = { id: '', event: { type: 'system', message: 'NATS is up', timestamp: 1_002 } };
  const { live, entries } = intake.accept([line('1001-a-1', 'panic'), notice]);
  assert.deepEqual(live.map(({ message }) => message), ['panic']);
  assert.equal(entries.length, 2);
});
