import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { formatCondition, meets, parseCondition } from '../../../../src/natstream/web/static/js/query/condition.js';
import { suggestions } from '../../../../src/natstream/web/static/js/query/completion.js';
import { formatQuery, parseQuery } from '../../../../src/natstream/web/static/js/query/language.js';
import { matcherOf } from '../../../../src/natstream/web/static/js/query/matching.js';
import { stripAnsi } from '../../../../src/natstream/web/static/js/text/ansi.js';
import { fieldOf } from '../../../../src/natstream/web/static/js/text/fields.js';
import { fromParams, toParams } from '../../../../src/natstream/web/static/js/query/params.js';

const holds = (text, value) => meets(parseCondition(text), value);
const params = (text) => decodeURIComponent(toParams(parseQuery(text)).toString());

test('a comparison holds between two numbers only', () => {
  for (const [text, value] of [['a>=500', '502'], ['a<2', '1.2'], ['a<=5', '5'], ['a>1', '2e3']]) {
    assert.ok(holds(text, value), text);
  }
  for (const [text, value] of [['a>=500', '499'], ['a>1', 'x'], ['a>x', '5'], ['a<5', ''], ['a<5', ' 4'], ['a<5', null]]) {
    assert.ok(!holds(text, value), text);
  }
});

test('equality is that of numbers or of texts in any case, with several values', () => {
  assert.ok(holds('a=502.0', '502') && holds('a=GET,POST', 'post') && !holds('a=GET', 'GETS'));
  assert.ok(holds('a!=1', '2') && holds('a!=1', null) && !holds('a!=x', 'X') && !holds('a=1', null));
});

test('the page decides conditions as the service does', () => {
  const cases = readFileSync(new URL('../../../fixtures/conditions.jsonl', import.meta.url), 'utf8');
  for (const { line, hold, fail } of cases.trim().split('\n').map((row) => JSON.parse(row))) {
    for (const text of [...hold, ...fail]) {
      const condition = parseCondition(text);
      const value = fieldOf(stripAnsi(line), condition.name);
      assert.equal(meets(condition, value), hold.includes(text), `${text} in ${line.slice(0, 200)}`);
    }
  }
});

test('a name alone means that the field exists, and an exclamation mark that it does not', () => {
  assert.ok(holds('a', '') && !holds('a', null) && holds('!a', null) && !holds('!a', '0'));
});

test('a condition survives being written', () => {
  for (const text of ['a', '!a', 'a=1,2', 'a!=x', 'a>=1', 'a<=1', 'a<1', 'a>1', 'user.id=7', 'a=b=c']) {
    assert.equal(formatCondition(parseCondition(text)), text);
  }
  for (const text of ['', '!', '=1', 'a=', '!a=1', '<5', '  ']) assert.equal(parseCondition(text), null, text);
});

test('conditions are typed as words, and quotes make them texts', () => {
  assert.equal(params('status>=500 user.id=7 path!=/health !user'),
    'field=status>=500&field=user.id=7&field=path!=/health&field=!user');
  assert.equal(params('"status>=500" name="Jane Doe"'), 'q=status>=500&field=name=Jane+Doe');
  assert.equal(params('field:type=login field:user -a=1 -!x'), 'not=!x&field=type=login&field=user&field=a!=1');
  assert.match(parseQuery('-a>5').error, /turn the comparison round/);
  assert.equal(params('status>= user.id= !'), 'q=!');
  assert.equal(params('status=5 status=5'), 'field=status=5');
});

test('conditions survive being written as text and as parameters', () => {
  const words = [
    'a=1', 'a!=b', 'a>=5', '!a', 'field:a', 'field:type=log', 'field:app', 'field:!level', 'field:"a b=c d"',
    'a="x y"', 'a="say \\"hi\\""', 'a=b\\c', '@l=e', 'a.b.c<1', 'field:level>=3', 'field:"x:y=1"', 'a=1,2',
    'field:5xx=1', 'field:since=now', 'field:field=x', 'x', '"a=1"', '-"!a"',
  ];
  for (const one of words) {
    for (const other of words) {
      const query = parseQuery(`${one} ${other}`);
      assert.deepEqual(parseQuery(formatQuery(query)), query, `${one} ${other}`);
      assert.deepEqual(fromParams(toParams(query)), query);
    }
  }
});

test('an address with a condition that means nothing has an error', () => {
  assert.match(fromParams(new URLSearchParams('field==5')).error, /status>=500/);
});

test('names of objects in JavaScript are levels and fields like others', () => {
  for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
    assert.equal(params(`level:${name} ${name}=1`), `level=${name.toLowerCase()}&field=${name}=1`);
    assert.deepEqual(suggestions(`${name}=`, new Map()), []);
  }
});

test('where all lines are shown, a line matches by its message', () => {
  const query = parseQuery('status>=500 pay');
  const line = '{"msg":"pay","status":502}';
  assert.ok(matcherOf(query, true).test(line));
  assert.ok(!matcherOf(query, true).test(line.replace('502', '200')));
  assert.deepEqual(matcherOf(query, true).ranges('pay status=502 x'), [[0, 3], [4, 14]]);
  assert.ok(matcherOf(query, false).test(line.replace('502', '200'))); // the service has decided it
  assert.equal(matcherOf(parseQuery('status>=500'), false), null);
});

test('names and values are completed as the lines have them', () => {
  const known = new Map([
    ['status', { lines: 20, values: ['200', '502'] }], ['stage', { lines: 30, values: ['a b'] }],
    ['http.status', { lines: 900, values: [] }],
  ]);
  const words = (word) => suggestions(word, known).map((one) => one.word);
  assert.deepEqual(words('sta'), ['stage=', 'status=', 'http.status=']);
  assert.deepEqual(words('!stat'), ['!status ', '!http.status ']);
  assert.deepEqual(words('status>=5'), ['status>=502 ']);
  assert.deepEqual(words('stage='), ['stage="a b" ']);
  assert.deepEqual(words('-stage="a'), ['-stage="a b" ']);
  assert.deepEqual(words('so'), ['source:']);
  for (const word of ['/x', '"sta', 'status=502', 'none=', '5']) assert.deepEqual(words(word), [], word);
});
