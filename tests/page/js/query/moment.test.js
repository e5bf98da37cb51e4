import assert from 'node:assert/strict';
import { test } from 'node:test';
import { momentOf, needsClock } from '../../../../src/natstream/web/static/js/query/moment.js';

const NOW = Date.UTC(2026, 2, 4, 12, 0);
const utc = (text) => {
  const ms = momentOf(text, { now: NOW, utc: true });
  return ms === null ? null : new Date(ms).toISOString();
};

test('a time of day is the last one that the clock showed', () => {
  assert.equal(utc('11:59'), '2026-03-04T11:59:00.000Z');
  assert.equal(utc('12:00'), '2026-03-04T12:00:00.000Z');
  assert.equal(utc('12:00:00.001'), '2026-03-03T12:00:00.001Z');
  assert.equal(utc('9:05:07,25'), '2026-03-04T09:05:07.250Z');
  const local = new Date(momentOf('23:15', { now: NOW, utc: false }));
  assert.deepEqual([local.getHours(), local.getMinutes()], [23, 15]);
  assert.ok(local <= NOW && NOW - local < 25 * 3_600_000);
});

test('dates, durations and epoch times are read as well', () => {
  assert.equal(utc('2026-03-01T10:20'), '2026-03-01T10:20:00.000Z');
  assert.equal(utc('2026-03-01 10:20:30.5'), '2026-03-01T10:20:30.500Z');
  assert.equal(utc('2026-03-01'), '2026-03-01T00:00:00.000Z');
  for (const zone of ['+02:00', '+0200', ' +02:00']) {
    assert.equal(utc(`2026-03-01T10:20:30${zone}`), '2026-03-01T08:20:30.000Z', zone);
  }
  assert.equal(utc('2026-03-01T10:20:30z'), '2026-03-01T10:20:30.000Z');
  assert.equal(utc('1h30m'), '2026-03-04T10:30:00.000Z');
  assert.equal(utc('1790000000'), utc('1790000000000'));
  for (const text of ['', 'x', '24:00', '12:60', '1:2', '2026-13-01', '2026-02-03T99:00', '12']) {
    assert.equal(utc(text), null, text);
  }
});

test('only times without a zone need a clock', () => {
  for (const text of ['14:05', '2026-03-01', '2026-03-01T10:20']) assert.ok(needsClock(text), text);
  for (const text of ['10m', '2026-03-01T10:20Z', '1790000000', 'x']) assert.ok(!needsClock(text), text);
});
