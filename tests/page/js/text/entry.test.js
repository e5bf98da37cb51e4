import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Intake } from '../../../../src/natstream/web/static/js/stream/intake.js';
import { lineOf, noticeText, toEvent } from '../../../../src/natstream/web/static/js/text/entry.js';

test('the event of a line says whether the line is stored', () => {
  const intake = new Intake();
  intake.begin(0);
  const { entries } = intake.accept([
    { id: '1-a-1', event: { message: 'x', persistent: true } }, { id: '1-a-2', event: { message: 'y' } },
  ]);
  assert.deepEqual(entries.map((entry) => toEvent(entry).persistent), [true, false]);
});

test('a gap says since when in the zone of the list, and in a file in UTC', () => {
  const since = Date.UTC(2024, 1, 29, 12, 34, 56);
  const gap = {
    time: since + 5_000, message: '',
    note: { tone: 'gap', missed: 7, atMost: false, since, replayed: 0, doubled: 0 },
  };
  const zone = process.env.TZ;
  process.env.TZ = 'Asia/Tokyo';
  assert.equal(noticeText(gap, 'utc'), '7 lines missed since 12:34:56.000');
  assert.equal(noticeText(gap, 'local'), '7 lines missed since 21:34:56.000');
  assert.equal(noticeText(gap, 'relative'), '7 lines missed since 21:34:56.000');
  assert.equal(lineOf(gap, 'text'), '# 7 lines missed since 12:34:56.000\n');
  process.env.TZ = zone ?? '';
});
