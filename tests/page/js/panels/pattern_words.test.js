import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alikeTitle, beginAlike, caveats, partsOf, quietText, spanText, summaryOf, verdictText, verdictTitle } from '../../../../src/natstream/web/static/js/panels/pattern_words.js';

const NOW = 1_790_541_877_252;
const pattern = (more) => ({
  id: 'a1', app: 'web', pattern: 'x <n>', level: 'error', count: 12, rate: 0.02, first_ms: NOW - 9_000,
  last_ms: NOW, example: { id: '1-2-3', message: 'x 1' }, series: [0, 12], machines: [], releases: [], ...more,
});
const answer = (patterns, more) => ({
  patterns, other: { count: 0 }, compare: { kind: 'span', since_ms: NOW - 600_000 }, sampled: false,
  since_ms: NOW - 1_200_000, until_ms: NOW, from: 'counters', ...more,
});

test('a verdict has the counts that show it', () => {
  assert.equal(verdictText(pattern({ verdict: 'new', before: 0, now: 12 })), 'new · 12×');
  assert.equal(verdictText(pattern({ verdict: 'more', before: 30, now: 90, factor: 3.04 })), '×3 · 30 → 90');
  assert.equal(verdictText(pattern({ verdict: 'less', before: 900, now: 9, factor: 0.01 })), '×0.01 · 900 → 9');
  assert.equal(verdictText(pattern({ verdict: 'gone', before: 7.4, now: 0, factor: null })), 'gone · 7 → 0');
  assert.equal(verdictText(pattern({ verdict: 'same', before: 7, now: 8 })), 'as before · 7 → 8');
  assert.equal(verdictText(pattern({ count: 1_200 })), '1,200×');
  assert.match(verdictTitle(pattern({ verdict: 'new', before: 0, now: 12, sure: 0.9999 })), /0 before, 12 now\. It is 99\.9 % sure/);
  assert.match(verdictTitle(pattern({})), /not compared/);
});

test('new patterns stand first, then those that have grown, and those without a verdict last', () => {
  const verdicts = ['same', undefined, 'gone', 'more', 'less', 'new'].map((verdict) => pattern({ verdict }));
  assert.deepEqual(partsOf(answer(verdicts)).map(({ verdict }) => verdict),
    ['new', 'more', 'gone', 'less', 'same', '']);
  assert.deepEqual(partsOf(answer([pattern({})], { compare: null })).map(({ title }) => title),
    ['The most frequent first']);
  assert.equal(summaryOf(answer(verdicts)), '1 new, 1 more often, 1 gone, 1 less often');
});

test('the panel says what is compared with what', () => {
  const apps = { web: { since_ms: NOW - 12_000, release: '42' } };
  const deploy = answer([], { compare: { kind: 'deploy', since_ms: NOW - 12_000, apps } });
  assert.match(spanText(deploy, 'deploy', 'utc'), /^Since release 42 of web at \d\d:\d\d:\d\d, against as long before\.$/);
  assert.equal(spanText(answer([]), '10m', 'utc'), 'The last 10 min against the 10 min before.');
  assert.match(spanText(answer([]), 'deploy', 'utc'), /^No newer release is known/);
  const older = answer([], { older_deploys: { web: { since_ms: NOW - 3_600_000, release: '41' } } });
  assert.match(spanText(older, 'deploy', 'utc'),
    /^No release is newer than half an hour: release 41 of web at \d\d:\d\d:\d\d\. The last 10 min/);
  assert.equal(spanText(answer([], { compare: null }), '', 'utc'), 'The lines of the last 20 min.');
});

test('the panel says what its counts lack', () => {
  assert.deepEqual(caveats(answer([])), []);
  const all = caveats(answer([pattern({})], { other: { count: 1_500 }, sampled: true, from: 'backlog' }));
  assert.match(all[0], /1,500 lines of other patterns are not listed/);
  assert.match(all[1], /counted a sample/);
  assert.match(all[2], /lines in memory: 20 minutes/);
  assert.match(all[3], /not compared/);
});

test('of the patterns that have grown, errors stand first', () => {
  const grown = ['info', 'error', 'warn', 'info'].map((level, place) => pattern({ verdict: 'more', level, count: 9 - place }));
  assert.deepEqual(partsOf(answer(grown))[0].patterns.map(({ level, count }) => `${level} ${count}`),
    ['error 8', 'warn 7', 'info 9', 'info 6']);
});

test('a quiet comparison has a sentence', () => {
  assert.equal(quietText(answer([pattern({ verdict: 'same' }), pattern({})])), 'Nothing is new, and nothing has grown.');
  assert.equal(quietText(answer([pattern({ verdict: 'same' }), pattern({ verdict: 'more' })])), '');
  assert.equal(quietText(answer([pattern({})], { compare: null })), '');
  assert.match(quietText(answer([pattern({ verdict: 'same' })], { since_ms: NOW - 500_000 })), /^The time before is not known/);
});

test('a button says which other patterns it shows or hides', () => {
  assert.ok(beginAlike('0123456789ab000001', '0123456789ab000002'));
  assert.ok(!beginAlike('0123456789ab000001', '0123456789ac000001'));
  assert.equal(alikeTitle('hides', 0), '');
  assert.equal(alikeTitle('hides', 2), 'Also hides 2 other patterns with the same first line, whatever its trace is');
});
