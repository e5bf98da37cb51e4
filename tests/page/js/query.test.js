import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatQuery, fromParams, likenessOf, matcherOf, parseQuery, toParams,
} from '../../../src/natstream/web/static/js/query/query.js';
import { random } from './page.js';

const params = (text, options) => decodeURIComponent(toParams(parseQuery(text), options).toString());

test('words, quotes, expressions and exclusions become q and not', () => {
  assert.equal(params('timeout "two words" -health /a b/ -/x y$/'),
    'q=timeout&q=two+words&not=health&q=/a+b/&not=/x+y$/');
});

test('fields take several values, quoted ones too, and may be repeated', () => {
  assert.equal(params('app:web,api app:db region=iad machine:"a b"'),
    'app=web,api,db&region=iad&machine=a+b');
});

test('levels are read as the service reads them', () => {
  assert.equal(params('level>=warning'), 'min_level=warn');
  assert.equal(params('level>warn'), 'min_level=error');
  assert.equal(params('level:ERR,critical'), 'level=error,fatal');
});

test('since is passed on', () => assert.equal(params('since:10m x'), 'since=10m&q=x'));

test('the parameter of the least level is understood, too', () => {
  assert.equal(params('min_level:warn min_level=WARNING'), 'min_level=warn');
  assert.match(parseQuery('min_level:loud').error, /one of debug/);
});

test('what is no field of ours is text', () => {
  assert.equal(params('foo:bar http://x/y /api/users'), 'q=foo:bar&q=http://x/y&q=/api/users');
});

test('texts can be left out', () => {
  assert.equal(params('app:web timeout -x', { texts: false }), 'app=web');
});

test('a quoted text between slashes stays a text', () => {
  assert.equal(params('"/x/"'), 'q=/\\/x\\//');
});

test('half-typed words ask for nothing', () => {
  for (const text of ['app:', 'level>=', 'level:', 'since:', '', '   ']) {
    assert.equal(params(text), '', text);
    assert.equal(parseQuery(text).error, '');
  }
});

test('what cannot be asked is said', () => {
  assert.match(parseQuery('-app:web').error, /app cannot be excluded/);
  assert.match(parseQuery('level>=loud').error, /one of debug/);
  assert.match(parseQuery('level>fatal').error, /one of debug/);
  for (const text of ['level<=warn', 'level<error', '-level>=warn', '-min_level:warn']) {
    assert.match(parseQuery(text).error, /name the levels/, text);
  }
  assert.match(parseQuery('machine:"a,b"').error, /machine "a,b" cannot be asked for: the comma/);
});

test('a query survives being written as text and as parameters', () => {
  const words = [
    'a', '-a', '"a b"', '-"a b"', '/a b/', '-/a\\/b/', 'app:web', 'region:iad,ams', 'level>=warn',
    'level:error', '"-x"', '"/x/"', 'x:y', '"say \\"hi\\""', 'machine:"a b"', 'since:2h', '-', '/a/b/',
    'stream:stderr', '"app:web"', '/a(b|c)+/', '\\', '"a\\\\b"', '"', '--x', '/', '//', '/ /',
  ];
  const next = random(7);
  for (let round = 0; round < 2_000; round++) {
    const text = Array.from({ length: 1 + Math.floor(next() * 5) },
      () => words[Math.floor(next() * words.length)]).join(' ');
    const query = parseQuery(text);
    assert.deepEqual(parseQuery(formatQuery(query)), query, text);
    const back = fromParams(toParams(query));
    assert.equal(toParams(back).toString(), toParams(query).toString(), text);
  }
});

test('any text is read without an exception, and to its end', () => {
  const next = random(1);
  const letters = 'a:/"\\- ,>=\n(';
  for (let round = 0; round < 5_000; round++) {
    let text = '';
    for (let i = 0; i < 12; i++) text += letters[Math.floor(next() * letters.length)];
    const query = parseQuery(text);
    assert.deepEqual(parseQuery(formatQuery(query)).texts, query.texts, JSON.stringify(text));
  }
});

test('an address says what the service would understand by it, or is wrong', () => {
  const read = (text) => fromParams(new URLSearchParams(text), ['show']);
  const query = read('app=web,api&level=WARN&min_level=warning&since=10m&q=/a/&not=b&show=all&tail=10');
  assert.equal(query.error, '');
  assert.equal(formatQuery(query), 'app:web,api level:warn level>=warn since:10m /a/ -b');
  for (const [text, error] of [
    ['appp=web', /“appp”, which filters nothing/], ['min_level=loud', /one of debug/],
    ['q=', /“q” without a value/], ['q=%20', /“q” without/], ['app=,,', /“app” without/],
    ['min_level=warn&min_level=debug', /“min_level” twice/], ['since=1h&since=2h', /“since” twice/],
    ['app=web&foo=bar', /“foo”/],
  ]) assert.match(read(text).error, error, text);
});

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
    const started = performance.now();
    const matcher = matcherOf(parseQuery(`/${pattern}/`));
    matcher.test(text);
    assert.deepEqual(matcher.ranges(text), [], pattern);
    assert.ok(performance.now() - started < 200, pattern);
  }
});

test('expressions of many choices search as much as they can in a moment', () => {
  const text = `${'a'.repeat(9_999)}!`;
  for (const pattern of [
    '.*.*!!', 'a+a+b', '.*!!', `${'a?'.repeat(40)}!!`, `${'(a|a)'.repeat(40)}!!`, '.{0,999}.{0,999}!!',
    `(${'a|'.repeat(200)}a).*!!`,
  ]) {
    const started = performance.now();
    matcherOf(parseQuery(`/${pattern}/`)).ranges(text);
    assert.ok(performance.now() - started < 3_000, pattern);
  }
});

test('an expression that holds up the page again and again is given up', () => {
  const text = `${'a'.repeat(700)}!`;
  const matcher = matcherOf(parseQuery('/.*.*!!/'));
  const started = performance.now();
  for (let line = 0; line < 10_000; line++) matcher.test(text);
  assert.ok(performance.now() - started < 10_000);
});

test('what people search for is marked', () => {
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

test('lines like one are those with the same words around other figures', () => {
  const like = (message, other) => new RegExp(likenessOf(message).text, 'i').test(other);
  assert.ok(like('GET /health 200 in 12ms', 'GET /health 503 in 7ms'));
  assert.ok(!like('GET /health 200 in 12ms', 'GET /cart 200 in 12ms'));
  const json = (time, message) => `{"time":"${time}","level":"info","msg":"${message}"}`;
  assert.ok(like(json('2024-01-01T10:00:00Z', 'ready'), json('2025-02-03T11:12:13Z', 'ready')));
  assert.ok(!like(json('2024-01-01T10:00:00Z', 'ready'), json('2024-01-01T10:00:00Z', 'gone')));
  assert.ok(like('12:00:01.5 [req-1] user 7 logged in', 'at 9:30 [x] 13:00:02 [req-22] user 99 logged in'));
  assert.ok(like('a\tb  c 1 d', 'a\tb   c 22 d'));
  for (const message of ['12 34', '', '1 a 2']) assert.equal(likenessOf(message), null, message);
});

test('lines are like one as they are shown, without escapes', () => {
  assert.deepEqual(likenessOf('\x1b[32mINFO\x1b[0m listening \x1b]0;x\x07on it'),
    { text: 'INFO listening on it', regex: false, not: true });
  assert.equal(likenessOf('\x1b[1mjob\x1b[0m 7 \x1b[32mdone\x1b[0m').text, 'job [\\w.:+-]* done');
});

test('what hides lines is short, whatever the line', () => {
  for (const message of [
    'a1 '.repeat(50) + 'words', 'word 1 '.repeat(50), `x ${'é1 '.repeat(50)}`, '(.*)+1'.repeat(20),
    `1 ${'👍🏽words'.repeat(20)}`, 'x'.repeat(300) + '1', '日本語'.repeat(30) + '1',
  ]) {
    const { text = '', regex = false } = likenessOf(message) ?? {};
    const gaps = text.split('[\\w.:+-]*').length - 1;
    assert.ok(gaps <= 3, text);
    if (regex) {
      assert.ok(Buffer.byteLength(text.replaceAll('[\\w.:+-]*', '').replaceAll('\\', '')) <= 110, text);
    }
  }
});
