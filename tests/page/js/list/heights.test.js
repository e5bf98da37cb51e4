import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Heights } from '../../../../src/natstream/web/static/js/list/heights.js';
import { random } from '../random.js';

test('heights agree with a plain sum after every change', () => {
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
