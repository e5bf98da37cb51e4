import assert from 'node:assert/strict';
import { test } from 'node:test';
import { coverageOf, startOf } from '../../../../src/natstream/web/static/js/panels/coverage.js';

const NOTHING = { first: null, isFull: false, hasEarlier: false, since: null, reach: null };
const of = (known) => coverageOf({ ...NOTHING, ...known });

test('the page says why it lacks lines, and the nearest reason first', () => {
  assert.equal(of({}), null);
  assert.deepEqual(of({ first: 50, isFull: true, hasEarlier: true }), { from: 50, why: 'let go' });
  assert.deepEqual(of({ first: 50, hasEarlier: true, since: 10 }), { from: 50, why: 'unloaded' });
  assert.deepEqual(of({ first: 50, since: 30, reach: 20 }), { from: 30, why: 'unasked' });
  assert.deepEqual(of({ first: 50, since: 10, reach: 20 }), { from: 20, why: 'forgotten' });
  assert.deepEqual(of({ reach: 20 }), { from: 20, why: 'forgotten' });
});

test('the start of a filter is a duration or a time', () => {
  const now = Date.UTC(2026, 0, 1, 12);
  assert.equal(startOf('10m', now), now - 600_000);
  assert.equal(startOf('1h30m', now), now - 5_400_000);
  assert.equal(startOf('2026-01-01T10:00:00Z', now), Date.UTC(2026, 0, 1, 10));
  assert.equal(startOf('1767261600', now), 1767261600000);
  assert.equal(startOf('', now), null);
});
