import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bins } from '../../../src/natstream/web/static/js/panels/bins.js';
import { Heights } from '../../../src/natstream/web/static/js/list/heights.js';
import { Ring } from '../../../src/natstream/web/static/js/list/ring.js';
import { random } from './page.js';

test('a ring holds the newest, each under its number', () => {
  const ring = new Ring(3);
  for (const item of 'abcde') ring.push(item);
  assert.deepEqual([ring.first, ring.end, ring.length, ring.full], [2, 5, 3, true]);
  assert.deepEqual([1, 2, 4, 5].map((seq) => ring.at(seq)), [undefined, 'c', 'e', undefined]);
  ring.clear();
  assert.deepEqual([ring.length, ring.push('f'), ring.at(5)], [0, 5, 'f']);
});

test('heights agree with a plain sum, whatever happens to them', () => {
  const next = random(2);
  const heights = new Heights(700);
  heights.reset(2 ** 33); // beyond 32 bits: a page that is open for weeks
  let plain = [];
  let first = 2 ** 33;
  for (let round = 0; round < 4_000; round++) {
    const height = Math.floor(next() * 40) + 0.5;
    if (next() < 0.75) {
      if (plain.length === 700) { plain.shift(); first += 1; }
      plain.push(height);
      heights.push(height);
    } else if (plain.length && next() < 0.5) {
      assert.equal(heights.shift(), plain.shift());
      first += 1;
    } else if (plain.length) {
      const index = Math.floor(next() * plain.length);
      plain[index] = height;
      heights.set(first + index, height);
    }
    if (round % 50) continue;
    const total = plain.reduce((sum, one) => sum + one, 0);
    assert.ok(Math.abs(heights.total - total) < 1e-6);
    const index = Math.floor(next() * (plain.length + 1));
    const offset = plain.slice(0, index).reduce((sum, one) => sum + one, 0);
    assert.ok(Math.abs(heights.offset(first + index) - offset) < 1e-6);
    if (index < plain.length) {
      assert.equal(heights.find(offset), first + index);
      assert.equal(heights.find(offset + plain[index] - 0.25), first + index);
    }
    assert.equal(heights.find(-5), first);
    assert.equal(heights.find(total + 5), Math.max(first, first + plain.length - 1));
  }
});

const NOW = 1_700_000_000_000;

test('bars count lines by level, at fixed moments, and know their first line', () => {
  const bins = new Bins();
  bins.add(NOW, 'error', 10, NOW);
  bins.add(NOW + 400, 'fatal', 11, NOW);
  bins.add(NOW - 1_000, 'info', 12, NOW);
  bins.add(NOW - 60_000, 'what', 3, NOW);
  const bars = bins.bars(NOW, 100, 1);
  assert.deepEqual(bars[99], { start: NOW, seconds: 1, counts: [2, 0, 0, 0, 0], total: 2, first: 10 });
  assert.equal(bars[98].counts[2], 1);
  assert.equal(bars[39].counts[4], 1);
  assert.equal(bars[0].first, -1);
  const wide = bins.bars(NOW, 2, 60);
  assert.equal(wide[0].total + wide[1].total, 4);
  assert.equal(wide[0].start % 60_000, 0);
});

test('times from far away are not counted, and an hour later neither', () => {
  const bins = new Bins();
  for (const time of [NOW + 60_000, NOW - 3_600_000, 0, NaN, Infinity, -1]) bins.add(time, 'info', 1, NOW);
  assert.equal(bins.bars(NOW, 3_600, 1).reduce((sum, bar) => sum + bar.total, 0), 0);
  bins.add(NOW, 'info', 1, NOW);
  bins.add(NOW + 3_600_000, 'info', 2, NOW + 3_600_000);
  assert.equal(bins.bars(NOW + 3_600_000, 3_600, 1).reduce((sum, bar) => sum + bar.total, 0), 1);
});

test('marks are bounded', () => {
  const bins = new Bins();
  for (let i = 0; i < 1_000; i++) bins.mark({ time: i, kind: 'deploy', seq: i, text: '' });
  assert.equal(bins.marks.length, 300);
  assert.equal(bins.marks[0].time, 700);
});
