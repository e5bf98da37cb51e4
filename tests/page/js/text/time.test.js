import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ago, bytes, clockTime, isoTime, perSecond, short,
} from '../../../../src/natstream/web/static/js/text/time.js';

test('times and figures have short texts', () => {
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

test('a time to copy has its zone', () => {
  const noon = Date.UTC(2024, 1, 29, 12, 34, 56, 7);
  assert.equal(isoTime(noon, 'utc'), '2024-02-29T12:34:56.007Z');
  const local = isoTime(noon, 'local');
  assert.match(local, /^2024-0[23]-\d\dT[\d:]{8}\.007[+-]\d\d:\d\d$/);
  assert.equal(new Date(local).getTime(), noon);
  assert.equal(isoTime(NaN, 'local'), '-');
});
