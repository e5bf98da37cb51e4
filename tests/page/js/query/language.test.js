import assert from 'node:assert/strict';
import { test } from 'node:test';
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
  assert.match(parseQuery('-app:web').error, /app cannot be excluded/);
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
