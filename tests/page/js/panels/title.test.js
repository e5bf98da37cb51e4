import assert from 'node:assert/strict';
import { test } from 'node:test';
import { titleOf } from '../../../../src/natstream/web/static/js/panels/title.js';

const LIVE = { stream: 'live', paused: false, released: '', query: '', errors: 0, lines: 0 };

test('the title names the state first', () => {
  assert.equal(titleOf(LIVE), '● Live · natstream');
  assert.equal(titleOf({ ...LIVE, stream: 'connecting', query: 'x' }), '○ Connecting · x · natstream');
  assert.equal(titleOf({ ...LIVE, stream: 'waiting' }), '✕ Lost · natstream');
  assert.equal(titleOf({ ...LIVE, stream: 'queued' }), '○ Waiting · natstream');
  assert.equal(titleOf({ ...LIVE, stream: 'idle', released: 'hidden' }), '○ At rest · natstream');
  assert.equal(titleOf({ ...LIVE, paused: true }), '⏸ Paused · natstream');
});

test('the title counts errors, and otherwise lines', () => {
  assert.equal(titleOf({ ...LIVE, lines: 5 }), '(5 lines) ● Live · natstream');
  assert.equal(titleOf({ ...LIVE, lines: 5, errors: 1 }), '(1 error) ● Live · natstream');
  assert.equal(titleOf({ ...LIVE, lines: 5_000 }), '(999+ lines) ● Live · natstream');
});
