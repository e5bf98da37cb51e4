import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { likenessOf } from '../../../../src/natstream/web/static/js/query/likeness.js';
import { random } from '../random.js';
import { short } from '../../../../src/natstream/web/static/js/text/time.js';

test('similar lines have the same words around other figures', () => {
  const like = (message, other) => new RegExp(likenessOf(message).text, 'i').test(other);
  assert.ok(like('GET /health 200 in 12ms', 'GET /health 200 in 7ms'));
  assert.ok(!like('GET /health 200 in 12ms', 'GET /cart 200 in 12ms'));
  const json = (time, message) => `{"time":"${time}","level":"info","msg":"${message}"}`;
  assert.ok(like(json('2024-01-01T10:00:00Z', 'ready'), json('2025-02-03T11:12:13Z', 'ready')));
  assert.ok(!like(json('2024-01-01T10:00:00Z', 'ready'), json('2024-01-01T10:00:00Z', 'gone')));
  assert.ok(like('12:00:01.5 [req-1] user 7 logged in', 'at 9:30 [x] 13:00:02 [req-22] user 99 logged in'));
  assert.ok(like('a\tb  c 1 d', 'a\tb   c 22 d'));
  for (const message of ['12 34', '', '1 a 2']) assert.equal(likenessOf(message), null, message);
});

test('numbers that say what a line reports stay, and other words with digits vary', () => {
  const cases = readFileSync(new URL('../../../fixtures/likeness.jsonl', import.meta.url), 'utf8');
  for (const { message, text, regex, hides, keeps } of cases.trim().split('\n').map((row) => JSON.parse(row))) {
    assert.deepEqual(likenessOf(message), { text, regex, not: true });
    const like = (other) => (regex ? new RegExp(text, 'iu').test(other) : other.includes(text));
    for (const other of hides) assert.ok(like(other), `${message} hides ${other}`);
    for (const other of keeps) assert.ok(!like(other), `${message} does not hide ${other}`);
  }
});

test('the text that hides similar lines always hides the line itself', () => {
  const words = ['GET', '/pay', '200', '12ms', '\u00a0', '\t', '\n', '"', '[', 'PC01', ']', 'status=', '500', ':', 'é',
    '👍', 'code', '7', 'a-1', '{"msg":"', '"}', '\\', 'x'.repeat(60), '\u3000', '=', ' ', ' ', ' ', '1'.repeat(9)];
  const next = random(3);
  for (let round = 0; round < 3_000; round++) {
    const message = Array.from({ length: 1 + Math.floor(next() * 14) },
      () => words[Math.floor(next() * words.length)]).join('');
    const found = likenessOf(message);
    if (!found) continue;
    const { text, regex } = found;
    assert.ok(regex ? new RegExp(text, 'iu').test(message) : message.includes(text), JSON.stringify([message, text]));
  }
});

test('similar lines are compared without their escapes', () => {
  assert.deepEqual(likenessOf('\x1b[32mINFO\x1b[0m listening \x1b]0;x\x07on it'),
    { text: 'INFO listening on it', regex: false, not: true });
  assert.equal(likenessOf('\x1b[1mjob\x1b[0m 7 \x1b[32mdone\x1b[0m').text, 'job [\\w.:+-]* done');
});

test('the text that hides similar lines is short for every line', () => {
  for (const message of [
    'a1 '.repeat(50) + 'words', 'word 1 '.repeat(50), `x ${'é1 '.repeat(50)}`, '(.*)+1'.repeat(20),
    `1 ${'👍🏽words'.repeat(20)}`, 'x'.repeat(300) + '1', '日本語'.repeat(30) + '1',
  ]) {
    const { text = '', regex = false } = likenessOf(message) ?? {};
    const gaps = text.split('[\\w.:+-]*').length - 1;
    assert.ok(gaps <= 3, text);
    if (regex) {
      assert.ok(Buffer.byteLength(text.replaceAll('[\\w.:+-]*', '').replaceAll('\\', '')) <= 110, text);
    }
  }
});
