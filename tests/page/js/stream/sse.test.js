import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SseParser, decode } from '../../../../src/natstream/web/static/js/stream/sse.js';
import { random } from '../random.js';

const STREAM =
  'retry: 1500\n\ndata: {"message":"Connected"}\n\nid: 1-a-1\ndata: {"message":"x"}\n\n'
  + ': keep-alive\nid: 1-a-2\n\nid: 1-a-3\r\ndata: {"message":"y"}\r\n\r\n';

const BLOCKS = [
  { retry: 1500 }, { data: '{"message":"Connected"}' }, { id: '1-a-1', data: '{"message":"x"}' },
  { id: '1-a-2' }, { id: '1-a-3', data: '{"message":"y"}' },
];

test('a stream is the same blocks wherever its text is cut', () => {
  const next = random(3);
  for (let round = 0; round < 300; round++) {
    const parser = new SseParser();
    const blocks = [];
    for (let at = 0; at < STREAM.length;) {
      const size = 1 + Math.floor(next() * 20);
      blocks.push(...parser.push(STREAM.slice(at, at + size)));
      at += size;
    }
    assert.deepEqual(blocks, BLOCKS);
  }
});

test('comments and unknown fields make no block', () => {
  assert.deepEqual(new SseParser().push(': hello\n\nfoo: bar\n\n\n\n'), []);
});

test('a block becomes an id and an object, unless its data is not an object', () => {
  assert.deepEqual(decode({ id: '1-a-1', data: '{"a":1}' }), { id: '1-a-1', event: { a: 1 } });
  assert.deepEqual(decode({ data: '{}' }), { id: '', event: {} });
  for (const data of ['1', 'null', '{', '{}]', '"x"', '{},{}', '']) {
    assert.equal(decode({ id: '1', data })?.event?.constructor === Object && data !== '{},{}', false, data);
  }
});

test('a key named __proto__ is a key', () => {
  const { event } = decode({ id: '1', data: '{"__proto__":{"x":1},"message":"m"}' });
  assert.equal(event.x, undefined);
  assert.equal(Object.getPrototypeOf(event), Object.prototype);
});
