import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAnsi, stripAnsi } from '../../../src/natstream/web/static/js/text/ansi.js';
import { isJson, pretty, tokens } from '../../../src/natstream/web/static/js/text/json.js';
import {
  countBreaks, firstLines, revealed, splitUnseen, trimEnd, visualLines,
} from '../../../src/natstream/web/static/js/text/readable.js';
import { CODE, documentationOf, kindOf } from '../../../src/natstream/web/static/js/text/fly.js';
import { ago, bytes, clockTime, perSecond, short } from '../../../src/natstream/web/static/js/text/time.js';
import { sane } from '../../../src/natstream/web/static/js/panels/prefs.js';
import { random } from './page.js';

const ESC = '\x1b';
const look = (message) => parseAnsi(message).spans.map(({ start, end, ...style }) => [start, end, style]);

test('plain text is left alone', () => {
  assert.deepEqual(parseAnsi('hello'), { text: 'hello', spans: [], rest: false });
});

test('the 16 colours, weights and their ends', () => {
  const { text } = parseAnsi(`a${ESC}[1;31mb${ESC}[22mc${ESC}[0md${ESC}[94me${ESC}[39mf${ESC}[103mg`);
  assert.equal(text, 'abcdefg');
  assert.deepEqual(look(`a${ESC}[1;31mb${ESC}[22mc${ESC}[0md${ESC}[94me${ESC}[39mf${ESC}[103mg`), [
    [1, 2, { className: 'bold fg1' }], [2, 3, { className: 'fg1' }],
    [4, 5, { className: 'fg12' }], [6, 7, { className: 'bg11' }],
  ]);
});

test('256 colours and true colour, with semicolons and colons', () => {
  const red = [0, 1, { className: '', fg: 'rgb(255 0 0)' }];
  assert.deepEqual(look(`${ESC}[38;5;196mx`), [red]);
  assert.deepEqual(look(`${ESC}[38;2;255;0;0mx`), [red]);
  assert.deepEqual(look(`${ESC}[38:2::255:0:0mx`), [red]);
  assert.deepEqual(look(`${ESC}[38:2:255:0:0mx`), [red]);
  assert.deepEqual(look(`${ESC}[38;5;9mx`), [[0, 1, { className: 'fg9' }]]);
  assert.deepEqual(look(`${ESC}[48;5;244mx`), [[0, 1, { className: '', bg: 'rgb(128 128 128)' }]]);
  assert.deepEqual(look(`${ESC}[38;2;1;2mx`), []);
  assert.deepEqual(look(`${ESC}[38;5;999mx`), []);
});

test('every other escape is dropped, what is cut short with its introducer only', () => {
  const cases = {
    [`a${ESC}[2Jb`]: 'ab', [`a${ESC}]0;title\x07b`]: 'ab', [`a${ESC}]8;;http://x${ESC}\\b`]: 'ab',
    [`a${ESC}Pq#0${ESC}\\b`]: 'ab', [`a${ESC}(Bb`]: 'ab', [`a${ESC}cb`]: 'ab', [`a${ESC}`]: 'a',
    'a\x9b31mb': 'ab', 'a\x85b': 'ab', [`a${ESC}[?25lb`]: 'ab',
    [`a${ESC}]never ended`]: 'anever ended', [`a${ESC}[31`]: 'a31', [`a${ESC}Xnever ended`]: 'anever ended',
  };
  for (const [message, text] of Object.entries(cases)) {
    assert.equal(parseAnsi(message).text, text, JSON.stringify(message));
    assert.equal(stripAnsi(message), text);
  }
});

test('hidden text is shown', () => assert.equal(parseAnsi(`${ESC}[8mx`).text, 'x'));

test('the visible text is cut at the limit, and says so', () => {
  assert.deepEqual(parseAnsi('abc', 2), { text: 'ab', spans: [], rest: true });
  assert.deepEqual(parseAnsi(`${ESC}[1mabc`, 2).text, 'ab');
  assert.equal(parseAnsi(`${ESC}[1mab`, 2).rest, false);
  assert.equal(parseAnsi(`${ESC}[1mab${ESC}[0mc`, 2).rest, true);
});

test('bombs take no longer than their length', () => {
  const bombs = [
    `${ESC}[31mx${ESC}[0m`.repeat(60_000), `${ESC}]`.repeat(250_000), ESC.repeat(500_000),
    `${ESC}P`.repeat(250_000), `${ESC}[`.repeat(250_000), `${ESC}[${'1;'.repeat(250_000)}m`,
    `${ESC}]${'x'.repeat(500_000)}`,
  ];
  for (const bomb of bombs) {
    const started = performance.now();
    const { spans } = parseAnsi(bomb);
    stripAnsi(bomb);
    assert.ok(performance.now() - started < 1_500, JSON.stringify(bomb.slice(0, 10)));
    assert.ok(spans.length <= 1_001);
  }
});

test('any bytes are parsed to text without escapes', () => {
  const next = random(5);
  const letters = `a${ESC}[];m0138?:\x07\\\x9b\x9cP`;
  for (let round = 0; round < 5_000; round++) {
    let message = '';
    for (let i = 0; i < 14; i++) message += letters[Math.floor(next() * letters.length)];
    const { text, spans } = parseAnsi(message);
    assert.ok(!/[\x1b\x80-\x9f]/.test(text), JSON.stringify(message));
    assert.equal(text, stripAnsi(message));
    for (const { start, end } of spans) assert.ok(start < end && end <= text.length);
  }
});

test('characters that reorder, hide or control are named', () => {
  assert.equal(revealed('a\u202eb\x00c\u2066'), 'a‹U+202E›b‹␀›c‹U+2066›');
  assert.deepEqual(splitUnseen('a\u200bb'), [
    { text: 'a', unseen: false }, { text: 'U+200B', unseen: true }, { text: 'b', unseen: false },
  ]);
  assert.equal(revealed('\u{e0041}'), '‹U+E0041›');
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

test('JSON is found, and laid out without changing what it says', () => {
  assert.equal(isJson('{"a":1}'), true);
  for (const text of ['{a}', '{', '[GET] x]', '1', '"x"', '{"a":1} tail']) assert.equal(isJson(text), false, text);
  assert.equal(pretty('{"a":[1,{"b":null}],"c":{},"d":[]}'),
    '{\n  "a": [\n    1,\n    {\n      "b": null\n    }\n  ],\n  "c": {},\n  "d": []\n}');
  const odd = '{"n":12345678901234567890,"x":1.0,"__proto__":{"y":"a\\"}b"},"n":2}';
  assert.equal(pretty(odd).replace(/\s/g, ''), odd);
});

test('tokens cover the text, whatever it is', () => {
  const next = random(11);
  const letters = '{}[]",:\\ 1a-\n';
  for (let round = 0; round < 5_000; round++) {
    let text = '';
    for (let i = 0; i < 12; i++) text += letters[Math.floor(next() * letters.length)];
    let at = 0;
    for (const { start, end } of tokens(text)) {
      assert.equal(start, at);
      assert.ok(end > start);
      at = end;
    }
    assert.equal(at, text.length);
  }
});

test('keys and values are told apart', () => {
  assert.deepEqual(tokens('{"a" : "b"}').map(({ kind }) => kind),
    ['mark', 'key', 'space', 'mark', 'space', 'string', 'mark']);
});

test('deep nesting is laid out in bounded space', () => {
  const deep = '['.repeat(5_000) + ']'.repeat(5_000);
  assert.ok(pretty(deep).length < 1_000_000);
});

test('what Fly says of machines is a marker; what an app says never is', () => {
  const kind = (message, provider = 'runner', more = {}) =>
    kindOf({ type: 'system', provider, level: 'info', message, ...more });
  assert.equal(kind('Pulling container image registry.fly.io/web'), 'deploy');
  assert.equal(kind('machine exited with exit code 0, not restarting'), 'restart');
  assert.equal(kind('Health check on port 8080 is now passing.', 'health'), 'health');
  assert.equal(kind('[PC01] instance refused connection', 'proxy'), 'proxy');
  assert.equal(kind('could not finish reading', 'proxy', { level: 'error' }), 'proxy');
  assert.equal(kind('invoked oom-killer: gfp_mask=0xcc0'), 'restart');
  for (const word of ['the waiting room', 'zoom 3', 'oomph']) assert.equal(kind(word), '', word);
  assert.equal(kind('GET /'), '');
  assert.equal(kind('[PC01] x', 'app', { type: 'log' }), '');
});

test('error codes lead to the documentation of Fly', () => {
  assert.equal(CODE.exec('x [PR04] y')?.[1], 'PR04');
  assert.equal(CODE.exec('[pc01]'), null);
  assert.equal(documentationOf('PC01'), 'https://fly.io/docs/reference/error-codes/#:~:text=PC01');
});

test('times and figures', () => {
  const noon = Date.UTC(2024, 1, 29, 12, 34, 56, 7);
  assert.equal(clockTime(noon, 'utc', noon + 3_600_000), '12:34:56.007');
  assert.equal(clockTime(noon, 'utc', noon + 86_400_000), '02-29 12:34:56.007');
  assert.equal(clockTime(noon, 'utc', 0), '2024-02-29 12:34:56.007');
  const local = new Date(2024, 0, 1, 23, 59, 59, 1).getTime();
  assert.equal(clockTime(local, 'local', local - 86_000_000), '23:59:59.001');
  assert.equal(clockTime(local, 'local', local + 2_000), '01-01 23:59:59.001');
  assert.equal(clockTime(local, 'local', local - 86_400_000), '2024-01-01 23:59:59.001');
  assert.equal(clockTime(noon, 'relative', noon + 86_400_000 * 3), '3 d ago');
  assert.equal(clockTime(NaN, 'local', 0), '--:--:--.---');
  assert.equal(clockTime(1e300, 'utc', 0), '--:--:--.---');
  assert.equal(ago(0, 500), 'now');
  assert.equal(ago(0, 2_000), '2 s ago');
  assert.equal(ago(0, 120_000), '2 min ago');
  assert.equal(ago(90_000_000, 0), 'in 25 h');
  assert.deepEqual([999, 1_000, 12_345, 999_499, 999_500, 2e6].map(short),
    ['999', '1.0k', '12k', '999k', '1.0M', '2.0M']);
  assert.deepEqual([0, 0.04, 4.25, 12.4, 5_000].map(perSecond), ['0/s', '0/s', '4.3/s', '12/s', '5.0k/s']);
  assert.deepEqual([0, 1_023, 1_024, 64 * 2 ** 20, 2 ** 50].map(bytes),
    ['0 B', '1023 B', '1.0 KiB', '64 MiB', '1048576 GiB']);
});

test('choices that are missing or broken fall back to the defaults', () => {
  assert.equal(sane(null).wrap, true);
  assert.equal(sane({ theme: 'pink', wrap: 'yes', span: 7, clock: 'utc' }).theme, 'system');
  assert.equal(sane({ clock: 'utc' }).clock, 'utc');
  assert.equal(sane({ span: 7 }).span, 300);
  assert.equal('x' in sane({ x: 1 }), false);
});
