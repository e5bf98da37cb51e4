import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuMs } from '../cpu.js';
import { Names } from '../../../../src/natstream/web/static/js/text/names.js';

/** How the names read in a column of this width, once all are known. */
function read(width, ...all) {
  const names = new Names();
  for (const name of all) names.shown(name, width);
  return all.map((name) => names.shown(name, width).parts.map(({ text, cut }) => (cut ? '…' : text)).join(''));
}
const isDistinct = (texts) => new Set(texts).size === texts.length;

test('a name that fits is shown, and a longer one is cut in its middle', () => {
  assert.deepEqual(read(20, 'web', 'x'.repeat(20)), ['web', 'x'.repeat(20)]);
  assert.deepEqual(read(20, 'acme-corporation-production-api'), ['acme-corpo…ction-api']);
  const { parts } = new Names().shown('acme-corporation-production-api', 20);
  assert.equal(parts.map(({ text }) => text).join(''), 'acme-corporation-production-api');
  assert.deepEqual(read(20, '👍'.repeat(30)), [`${'👍'.repeat(10)}…${'👍'.repeat(9)}`]);
});

test('names that differ at their end, their beginning or their middle read differently', () => {
  const words = ['api', 'web', 'worker', 'work-er', 'a', 'b'];
  for (const make of [
    (word) => `acme-corporation-production-${word}`,
    (word) => `${word}-of-the-acme-corporation-production`,
    (word) => `acme-corporation-production-${word}-of-the-shop-in-europe`,
    (word) => `acme-corporation-production-europe-${word}-main-service`,
    (word) => `acme-corporation-production-europe-west-and-east-${word}`,
    (word) => `x${word}${'y'.repeat(40)}`,
    (word) => `${'y'.repeat(20)}${word}${'y'.repeat(20)}`,
  ]) {
    for (const width of [12, 14, 20]) {
      const texts = read(width, ...words.map(make));
      assert.ok(isDistinct(texts), `${width}: ${texts}`);
      for (const text of texts) assert.ok(text.length <= width, text);
    }
  }
});

test('a cut name never reads like a short one', () => {
  const [cut] = read(20, 'acme-corporation-production-api');
  assert.ok(isDistinct(read(20, cut, 'acme-corporation-production-api', 'acme-corporation-reduction-api')));
});

test('eight names have eight colours, and more of a family have the least used ones', () => {
  const names = new Names();
  const hues = ['api', 'web', 'worker', 'cron', 'mail', 'db', 'cache', 'edge'].map((word) => names.shown(`shop-${word}`, 20).hue);
  assert.equal(new Set(hues).size, 8);
  const more = [...Array(8).keys()].map((n) => names.shown(`other${n}-x`, 20).hue);
  assert.equal(new Set(more).size, 8);
  assert.equal(names.shown('shop-api', 20).hue, hues[0], 'a name keeps its colour');
});

test('the beginning that other names share is known, up to a separator', () => {
  const names = new Names();
  const shared = (name) => names.shown(name, 30).parts.filter((part) => part.shared && !part.cut).map(({ text }) => text).join('');
  assert.equal(shared('acme-shop-api'), '');
  assert.equal(shared('acme-shop-web'), 'acme-shop-');
  assert.equal(shared('acme-shop-api'), 'acme-shop-');
  assert.equal(shared('acme-mail'), 'acme-');
  assert.equal(shared('web2'), '');
  assert.equal(shared('web'), '');
  assert.equal(shared('acme'), '');
  assert.equal(names.version > 0, true);
});

test('any number of names takes bounded memory and time', () => {
  const names = new Names();
  const started = cpuMs();
  for (let n = 0; n < 3_000; n++) names.shown(`acme-corporation-production-service-${n}`, 20);
  assert.ok(cpuMs() - started < 5_000);
  assert.ok(names.version <= 900);
  const { parts } = names.shown('x'.repeat(1_000_000), 20);
  assert.equal(parts.map(({ text }) => text).join('').length, 200);
});
