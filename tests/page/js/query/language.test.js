import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFileSync } from 'node:fs';
import { matcherOf } from '../../../../src/natstream/web/static/js/query/matching.js';
import { formatQuery, parseQuery } from '../../../../src/natstream/web/static/js/query/language.js';
import { fromParams, toParams } from '../../../../src/natstream/web/static/js/query/params.js';
import { random } from '../random.js';

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

test('since is sent as it was typed', () => assert.equal(params('since:10m x'), 'since=10m&q=x'));

test('the parameter min_level is understood as well', () => {
  assert.equal(params('min_level:warn min_level=WARNING'), 'min_level=warn');
  assert.match(parseQuery('min_level:loud').error, /one of trace/);
});

test('a word that names no field is text', () => {
  assert.equal(params('foo:bar http://x/y /api/users'), 'q=foo:bar&q=http://x/y&q=/api/users');
});

test('texts can be left out', () => {
  assert.equal(params('app:web timeout -x', { texts: false }), 'app=web');
});

test('a quoted text between slashes stays a text', () => {
  assert.equal(params('"/x/"'), 'q=/\\/x\\//');
});

test('half-typed words add nothing to a query', () => {
  for (const text of ['app:', 'level>=', 'level:', 'since:', '', '   ']) {
    assert.equal(params(text), '', text);
    assert.equal(parseQuery(text).error, '');
  }
});

test('a query that cannot be asked has an error', () => {
  assert.match(parseQuery('level>=loud').error, /one of trace/);
  assert.match(parseQuery('level>fatal').error, /one of trace/);
  for (const text of ['level<=warn', 'level<error', '-level>=warn', '-min_level:warn']) {
    assert.match(parseQuery(text).error, /name the levels/, text);
  }
  assert.match(parseQuery('machine:"a,b"').error, /machine "a,b" cannot be asked for, because a comma/);
});

test('a query survives being written as text and as parameters', () => {
  const words = [
    'a', '-a', '"a b"', '-"a b"', '/a b/', '-/a\\/b/', 'app:web', 'region:iad,ams', 'level>=warn',
    'level:error', '"-x"', '"/x/"', 'x:y', '"say \\"hi\\""', 'machine:"a b"', 'since:2h', '-', '/a/b/',
    'stream:stderr', 'a|b', '-a|"b c"', '"a|b"', '|', 'a|', '/a|b/', '/api|c/', '-app:web', 'machine:6*',
    '-machine:6*,7', 'app!=x', 'until:5m', 'x:y|z', '-level:warn', '"a"|"b"', '/a\\|b/', '/a||b/', '-type:log', '"app:web"', '/a(b|c)+/', '\\', '"a\\\\b"', '"', '--x', '/', '//', '/ /',
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
  const letters = 'a:/"\\- ,>=\n(|!*';
  for (let round = 0; round < 5_000; round++) {
    let text = '';
    for (let i = 0; i < 12; i++) text += letters[Math.floor(next() * letters.length)];
    const query = parseQuery(text);
    assert.deepEqual(parseQuery(formatQuery(query)).texts, query.texts, JSON.stringify(text));
  }
});

const CASES = readFileSync(new URL('../../../fixtures/queries.jsonl', import.meta.url), 'utf8')
  .trim().split('\n').map((row) => JSON.parse(row));

test('exclusions, beginnings of ids and alternatives become the parameters that the service reads', () => {
  for (const { typed, query: pairs, text = typed } of CASES) {
    const query = parseQuery(typed);
    assert.equal(query.error, '', typed);
    assert.deepEqual([...toParams(query)], pairs, typed);
    assert.equal(formatQuery(query), text, typed);
    assert.deepEqual([...toParams(fromParams(new URLSearchParams(pairs)))], pairs, typed);
  }
});

test('the page finds the texts of a query where the service does', () => {
  for (const { typed, hold, fail } of CASES.filter(({ page }) => page)) {
    const matcher = matcherOf(parseQuery(typed), true);
    for (const { message } of hold) assert.ok(matcher.test(message), `${typed} in ${message}`);
    for (const { message } of fail) assert.ok(!matcher.test(message), `${typed} in ${message}`);
  }
});

test('times without a zone are those of the clock that the page shows', () => {
  const clock = { now: Date.UTC(2026, 2, 4, 12, 0), utc: true };
  const query = parseQuery('since:14:05 until:11:30:15.5 x', clock);
  assert.equal(formatQuery(query), 'since:2026-03-03T14:05:00.000Z until:2026-03-04T11:30:15.500Z x');
  assert.equal(parseQuery('until:2026-03-01', clock).until, '2026-03-01T00:00:00.000Z');
  for (const text of ['10m', '1790000000', '2026-03-01T10:00:00+02:00', 'yesterday']) {
    assert.equal(parseQuery(`until:${text}`, clock).until, text);
  }
});

test('a time to go to filters nothing', () => {
  const query = parseQuery('app:web at:14:05 at:14:06');
  assert.equal(query.at, '14:06');
  assert.equal(toParams(query).toString(), 'app=web');
  assert.equal(formatQuery(query), 'app:web');
  assert.equal(params('"at:14:05" at=5'), 'q=at:14:05&field=at=5');
});

test('a pattern is asked for and hidden by its id, in the field and in the address', () => {
  assert.equal(params('pattern:5F0C3A9E17 -pattern:8a6e,9dc6'), 'pattern=5f0c3a9e17&not_pattern=8a6e,9dc6');
  const address = new URLSearchParams('pattern=5f0c3a9e17&not_pattern=8a6e');
  assert.equal(formatQuery(fromParams(address)), 'pattern:5f0c3a9e17 -pattern:8a6e');
  assert.equal(toParams(fromParams(address)).toString(), address.toString());
});
