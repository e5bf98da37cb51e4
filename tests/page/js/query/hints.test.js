import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hintOf } from '../../../../src/natstream/web/static/js/query/hints.js';
import { random } from '../random.js';

test('a word of another product has a hint with the word to type here', () => {
  for (const [text, typed] of [
    ['a OR b', 'type a|b'], ['app:web OR app:api', 'type app:web,api'], ['a || b', 'type a|b'],
    ['a AND b', 'type a b'], ['NOT x', 'type -x'], ['x && y', 'type x y'], ['!x', 'type -x'],
    ['!app:web', 'type -app:web'], ['app!=x', 'read as -app:x'], ['app=x', 'read as app:x'],
    ['"level": error', 'type level:error'], ['{"level":"error"}', 'type level:error'],
    ['"status": 500', 'type status=500'], ['*x*', 'type x'], ['-*x*', 'type -x'], ['a*b', 'type /a.*b/'],
    ['level:>=warn', 'type level>=warn'], ['status:500', 'type status=500'],
    ['status:>=500', 'type status>=500'], ['status:[400 TO 499]', 'type status>=400 status<='],
    ['severity:error', 'Type level:error'], ['host:abc', 'Type machine:abc'],
    ['before:14:05', 'Type until:14:05'], ['message:foo', 'type foo'], ['level: error', 'type level:error'],
    ['app:web|api', 'type app:web,api'], ['status=500|502', 'type status=500,502'],
    ['app:-x', 'type -app:x'], ["'two words'", 'type "two words"'], ['/a(b)/i', 'type /a(b)/'],
    ['status==500', 'type status=500'], ['app=~"web.*"', 'type /web.*/'], ['+must', 'type must'],
    ['app:web*', 'such as app:a,b'], ['good x OR y', 'type x|y'],
  ]) assert.ok(hintOf(text).includes(typed), `${text}: ${hintOf(text)}`);
});

test('the language of the field and usual words have no hint', () => {
  for (const text of [
    'timeout', '"a OR b"', 'a|b', '/time(d )?out/', '-health', 'app:web,api', '-app:web', 'machine:668f*',
    'machine:668f…', 'level>=warn', 'status>=500 user.id=7 path!=/health', 'since:10m until:5m at:14:05',
    'field:user', 'http://x/y', 'Foo::bar', 'panic: boom', '10:30', '/api/users/me', 'black or white',
    'C++', "don't", '* * *', '', '-', '!', 'level:warn',
  ]) assert.equal(hintOf(text), '', text);
});

test('any text has a hint of one line, or none', () => {
  const next = random(5);
  const letters = 'aOR!=:"{}*|&\'/ +-[]~<';
  for (let round = 0; round < 5_000; round++) {
    let text = '';
    for (let i = 0; i < 14; i++) text += letters[Math.floor(next() * letters.length)];
    assert.ok(hintOf(text).length <= 300);
  }
  assert.ok(hintOf(`app=${'x'.repeat(5_000)}`).length <= 300);
});
