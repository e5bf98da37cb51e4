import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isJson, pretty, tokens } from '../../../../src/natstream/web/static/js/text/json.js';
import { random } from '../random.js';

test('JSON is recognised, and indented without a change of its meaning', () => {
  assert.equal(isJson('{"a":1}'), true);
  for (const text of ['{a}', '{', '[GET] x]', '1', '"x"', '{"a":1} tail']) assert.equal(isJson(text), false, text);
  assert.equal(pretty('{"a":[1,{"b":null}],"c":{},"d":[]}'),
    '{\n  "a": [\n    1,\n    {\n      "b": null\n    }\n  ],\n  "c": {},\n  "d": []\n}');
  const odd = '{"n":12345678901234567890,"x":1.0,"__proto__":{"y":"a\\"}b"},"n":2}';
  assert.equal(pretty(odd).replace(/\s/g, ''), odd);
});

test('tokens cover every text', () => {
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

test('keys and values are different tokens', () => {
  assert.deepEqual(tokens('{"a" : "b"}').map(({ kind }) => kind),
    ['mark', 'key', 'space', 'mark', 'space', 'string', 'mark']);
});

test('deeply nested JSON is indented in bounded space', () => {
  const deep = '['.repeat(5_000) + ']'.repeat(5_000);
  assert.ok(pretty(deep).length < 1_000_000);
});
