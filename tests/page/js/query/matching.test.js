import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuMs } from '../cpu.js';
import { parseQuery } from '../../../../src/natstream/web/static/js/query/language.js';
import { matcherOf } from '../../../../src/natstream/web/static/js/query/matching.js';

test('matches are marked: all of them, overlaps as one', () => {
  const matcher = matcherOf(parseQuery('abc bcd /x+/'));
  assert.deepEqual(matcher.ranges('0ABCD xx abc'), [[1, 5], [6, 8], [9, 12]]);
});

test('a match holds every text and none of the excluded', () => {
  const matcher = matcherOf(parseQuery('get -health'));
  assert.equal(matcher.test('GET /'), true);
  assert.equal(matcher.test('GET /health'), false);
  assert.equal(matcher.test('POST /'), false);
  assert.equal(matcherOf(parseQuery('app:web')), null);
});

test('expressions that could hang the browser are not run in it', () => {
  const text = `${'a'.repeat(40)}!`;
  for (const pattern of [
    '(a+)+$', '(a|a)+$', '(a|aa)*b', '((a*)*)*b', '(a{1,9}){1,99}$', '(\\w+\\s?)*$', '(a+)\\1',
    '((\\w+))+!!', 'GET|((\\w+))+!!', '(((a|a)))*b', '(?:(?:a?b?))+!!', '.*.*.*.*.*.*!!', '(x[)]|(a+))+$',
  ]) {
    const started = cpuMs();
    const matcher = matcherOf(parseQuery(`/${pattern}/`));
    matcher.test(text);
    assert.deepEqual(matcher.ranges(text), [], pattern);
    assert.ok(cpuMs() - started < 400, pattern);
  }
});

test('expressions of many choices search as much as they can in a moment', () => {
  const text = `${'a'.repeat(9_999)}!`;
  for (const pattern of [
    '.*.*!!', 'a+a+b', '.*!!', `${'a?'.repeat(40)}!!`, `${'(a|a)'.repeat(40)}!!`, '.{0,999}.{0,999}!!',
    `(${'a|'.repeat(200)}a).*!!`,
  ]) {
    const started = cpuMs();
    matcherOf(parseQuery(`/${pattern}/`)).ranges(text);
    assert.ok(cpuMs() - started < 3_000, pattern);
  }
});

test('an expression that holds up the page again and again is given up', () => {
  const text = `${'a'.repeat(700)}!`;
  const matcher = matcherOf(parseQuery('/.*.*!!/'));
  const started = cpuMs();
  for (let line = 0; line < 10_000; line++) matcher.test(text);
  assert.ok(cpuMs() - started < 10_000);
});

test('the matches of usual expressions are marked', () => {
  const marked = (pattern, text) =>
    matcherOf(parseQuery(`/${pattern}/`)).ranges(text).map(([start, end]) => text.slice(start, end));
  for (const [pattern, text, marks] of [
    ['timeout|refused', 'a Timeout, refused', ['Timeout', 'refused']],
    ['GET .* 500', 'x GET /cart 500', ['GET /cart 500']],
    ['\\d+ms', 'in 12ms, 7ms', ['12ms', '7ms']],
    ['(GET|POST|PUT) /\\w+', 'POST /cart 200', ['POST /cart']],
    ['time(d )?out', 'timed out', ['timed out']],
    ['\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}', 'from 10.1.2.3', ['10.1.2.3']],
    ['(ab)+', 'xabab', ['abab']],
    ['[(|)]+x', '(|x', ['(|x']],
    ['GET .* 5\\d+|POST .* 5\\d+|PUT .* 5\\d+', 'PUT /a 503', ['PUT /a 503']],
    ['[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '01234567-89ab-cdef-0123-456789abcdef',
      ['01234567-89ab-cdef-0123-456789abcdef']],
    ['x*', 'y'.repeat(300) + 'x', ['x']],
  ]) assert.deepEqual(marked(pattern, text), marks, pattern);
});

test('an expression that only RE2 understands filters, and marks nothing', () => {
  assert.deepEqual(matcherOf(parseQuery('/(?P<name>x)/')).ranges('xxx'), []);
});

test('long texts are searched to their end', () => {
  const text = `${'x '.repeat(40_000)}needle ${'y '.repeat(10_000)}`;
  for (const query of ['needle', '/ne+dle/', '/n\\w+e/']) {
    const matcher = matcherOf(parseQuery(query));
    assert.equal(matcher.test(text), true, query);
    assert.deepEqual(matcher.ranges(text), [[80_000, 80_006]], query);
  }
});
