import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuMs } from '../cpu.js';
import {
  countBreaks, firstLines, revealed, splitUnseen, trimEnd, visualLines,
} from '../../../../src/natstream/web/static/js/text/readable.js';

test('characters that reorder, hide or control are named', () => {
  assert.equal(revealed('a\u202eb\x00c\u2066'), 'a‹U+202E›b‹␀›c‹U+2066›');
  assert.deepEqual(splitUnseen('a\u200bb'), [
    { text: 'a', unseen: false }, { text: 'U+200B', unseen: true }, { text: 'b', unseen: false },
  ]);
  assert.equal(revealed('\u{e0041}'), '‹U+E0041›');
  assert.equal(revealed('pass\u200dword'), 'pass‹U+200D›word');
  assert.equal(revealed('a\ufe01\u{1d173}\u180b\u{e0150}'), 'a‹U+FE01›‹U+1D173›‹U+180B›‹U+E0150›');
  assert.equal(revealed('❤\ufe0f\ufe0e'), '❤\ufe0f‹U+FE0E›');
  for (const text of ['a\tb\nc', 'née', '日本', '👩‍👩‍👧', 'مريم', '❤️']) assert.equal(revealed(text), text);
});

test('lines are counted and cut as they are wrapped', () => {
  assert.equal(visualLines('', 10, 8), 1);
  assert.equal(visualLines('x'.repeat(10), 10, 8), 1);
  assert.equal(visualLines('x'.repeat(11), 10, 8), 2);
  assert.equal(visualLines('a\n\nb', 10, 8), 3);
  assert.equal(visualLines('x'.repeat(1e6), 10, 8), 8);
  assert.equal(firstLines('a\nb\nc', 2, 10), 'a\nb');
  assert.equal(firstLines('x'.repeat(25), 2, 10), 'x'.repeat(20));
  assert.equal(firstLines(`${'x'.repeat(15)}\nb\nc`, 3, 10), `${'x'.repeat(15)}\nb`);
  assert.equal(firstLines('a\nb', 8, 10), 'a\nb');
  assert.equal(firstLines('123456789👍', 1, 10), '123456789');
  assert.equal(countBreaks('a\nb\n'), 2);
  assert.equal(trimEnd('a\r\n\n'), 'a');
});

test('a carriage return is named only where it is not part of a line break', () => {
  assert.equal(revealed('a\r\nb\r\r\nc\r'), 'a\nb\nc');
  assert.equal(revealed('10%\r20%\n'), '10%‹␍›20%\n');
  assert.deepEqual(splitUnseen('a\r\nb'), [{ text: 'a\nb', unseen: false }]);
  const started = cpuMs();
  revealed('\r'.repeat(1_000_000) + 'x');
  assert.ok(cpuMs() - started < 2_000);
});
