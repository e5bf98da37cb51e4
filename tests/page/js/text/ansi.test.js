import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAnsi, stripAnsi } from '../../../../src/natstream/web/static/js/text/ansi.js';
import { bytes, short } from '../../../../src/natstream/web/static/js/text/time.js';
import { random } from '../random.js';

const ESC = '\x1b';

const look = (message) => parseAnsi(message).spans.map(({ start, end, ...style }) => [start, end, style]);

test('plain text is left alone', () => {
  assert.deepEqual(parseAnsi('hello'), { text: 'hello', spans: [], rest: false });
});

test('the 16 colours and the weights begin and end', () => {
  const { text } = parseAnsi(`a${ESC}[1;31mb${ESC}[22mc${ESC}[0md${ESC}[94me${ESC}[39mf${ESC}[103mg`);
  assert.equal(text, 'abcdefg');
  assert.deepEqual(look(`a${ESC}[1;31mb${ESC}[22mc${ESC}[0md${ESC}[94me${ESC}[39mf${ESC}[103mg`), [
    [1, 2, { className: 'bold fg1' }], [2, 3, { className: 'fg1' }],
    [4, 5, { className: 'fg12' }], [6, 7, { className: 'bg11' }],
  ]);
});

test('256 colours and true colours are read with semicolons and with colons', () => {
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

test('every other escape is dropped, but of one that is cut short only the introducer', () => {
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
    (n) => `${ESC}[31mx${ESC}[0m`.repeat(n / 8), (n) => `${ESC}]`.repeat(n / 2), (n) => ESC.repeat(n),
    (n) => `${ESC}P`.repeat(n / 2), (n) => `${ESC}[`.repeat(n / 2), (n) => `${ESC}[${'1;'.repeat(n / 2)}m`,
    (n) => `${ESC}]${'x'.repeat(n)}`,
  ];
  // The CPU time, because other processes take turns; the shortest of three, because of collections.
  const took = (bomb) => Math.min(...[1, 2, 3].map(() => {
    const before = process.cpuUsage();
    parseAnsi(bomb);
    stripAnsi(bomb);
    const { user, system } = process.cpuUsage(before);
    return user + system;
  }));
  for (const make of bombs) {
    const [small, large] = [make(60_000), make(480_000)].map(took);
    // Eight times the length takes eight times as long, and 64 times if each is compared with each.
    assert.ok(large < 24 * Math.max(small, 2_000), `${JSON.stringify(make(8))}: ${small}, ${large} µs`);
    assert.ok(parseAnsi(make(480_000)).spans.length <= 1_001);
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
