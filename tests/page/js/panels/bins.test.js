import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bins } from '../../../../src/natstream/web/static/js/panels/bins.js';

const NOW = 1_700_000_000_000;

test('bars count lines by level from fixed times on, and have their first line', () => {
  const bins = new Bins();
  bins.add(NOW, 'error', 10, NOW);
  bins.add(NOW + 400, 'fatal', 11, NOW);
  bins.add(NOW - 1_000, 'info', 12, NOW);
  bins.add(NOW - 60_000, 'what', 3, NOW);
  const bars = bins.bars(NOW, 100, 1);
  assert.deepEqual(bars[99], { start: NOW, seconds: 1, counts: [2, 0, 0, 0, 0, 0], total: 2, first: 10 });
  assert.equal(bars[98].counts[2], 1);
  assert.equal(bars[39].counts[5], 1);
  assert.equal(bars[0].first, -1);
  const wide = bins.bars(NOW, 2, 60);
  assert.equal(wide[0].total + wide[1].total, 4);
  assert.equal(wide[0].start % 60_000, 0);
});

test('times outside of the hour are not counted, and neither are counts of an hour ago', () => {
  const bins = new Bins();
  for (const time of [NOW + 60_000, NOW - 3_600_000, 0, NaN, Infinity, -1]) bins.add(time, 'info', 1, NOW);
  assert.equal(bins.bars(NOW, 3_600, 1).reduce((sum, bar) => sum + bar.total, 0), 0);
  bins.add(NOW, 'info', 1, NOW);
  bins.add(NOW + 3_600_000, 'info', 2, NOW + 3_600_000);
  assert.equal(bins.bars(NOW + 3_600_000, 3_600, 1).reduce((sum, bar) => sum + bar.total, 0), 1);
});

test('the number of marks is bounded', () => {
  const bins = new Bins();
  for (let i = 0; i < 1_000; i++) bins.mark({ time: i, kind: 'deploy', seq: i, text: '' });
  assert.equal(bins.marks.length, 300);
  assert.equal(bins.marks[0].time, 700);
});
