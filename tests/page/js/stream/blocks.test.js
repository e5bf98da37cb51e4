import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BlockCutter, after, lastId, lastLineId, reaches, withoutOpening,
} from '../../../../src/natstream/web/static/js/stream/blocks.js';

const TEXT = 'retry: 1\ndata: {"type":"system"}\n\nid: 1-a-7\ndata: "é"\n\nid: 1-a-8\ndata: 2\n\n'
  + 'data: {"gap":1}\n\nid: 1-a-20\n\n: keep-alive\nid: 1-a-30\n\n';

test('pieces end where blocks end, wherever the network cuts', () => {
  const bytes = new TextEncoder().encode(TEXT);
  for (let size = 1; size < bytes.length + 1; size++) {
    const cutter = new BlockCutter();
    let text = '';
    for (let at = 0; at < bytes.length; at += size) {
      const piece = new TextDecoder('utf-8', { fatal: true }).decode(cutter.push(bytes.slice(at, at + size)));
      assert.ok(piece === '' || piece.endsWith('\n\n'));
      text += piece;
    }
    assert.equal(text, TEXT);
  }
});

test('ids of lines and of positions are told apart', () => {
  assert.equal(lastLineId(TEXT), '1-a-8');
  assert.equal(lastId(TEXT), '1-a-30');
  assert.equal(lastLineId('id: 1-a-5\ndata: x\n\n'), '1-a-5');
  assert.equal(lastLineId(': keep-alive\n\n'), '');
  assert.equal(lastId(''), '');
});

test('only ids of one segment can be compared', () => {
  assert.ok(reaches('1-a-10', '9-a-9'));
  assert.ok(reaches('1-a-9007199254740993', '1-a-9007199254740992'));
  assert.ok(!reaches('1-a-9007199254740992', '1-a-9007199254740993'));
  assert.ok(!reaches('1-a-8', '1-a-9'));
  assert.ok(!reaches('1-a-9', '1-b-9'));
  assert.ok(!reaches('', '1-b-9'));
  assert.ok(!reaches('x', '1-b-9'));
  assert.ok(reaches('', ''));
});

test('blocks after a line are cut exactly', () => {
  assert.equal(after(TEXT, ''), TEXT);
  assert.equal(after(TEXT, '1-a-6'), TEXT);
  assert.ok(after(TEXT, '1-a-7').startsWith('id: 1-a-8\n'));
  assert.ok(after(TEXT, '1-a-8').startsWith('data: {"gap"'));
  assert.equal(after(TEXT, '1-b-8'), TEXT);
  assert.ok(withoutOpening(TEXT).startsWith('id: 1-a-7\n'));
});
