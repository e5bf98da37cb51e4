import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { cpuMs } from '../cpu.js';
import { stripAnsi } from '../../../../src/natstream/web/static/js/text/ansi.js';
import { fieldOf, fieldsOf } from '../../../../src/natstream/web/static/js/text/fields.js';
import { structureOf } from '../../../../src/natstream/web/static/js/text/structure.js';
import { summaryOf } from '../../../../src/natstream/web/static/js/text/summary.js';
import { tellingLine } from '../../../../src/natstream/web/static/js/text/trace.js';
import { random } from '../random.js';

const read = (message, ...more) => summaryOf(message, ...more)?.text;

test('the text of a JSON message comes first, and its other fields after it', () => {
  assert.equal(read('{"level":30,"time":1531171074631,"pid":6,"msg":"paid","user":{"id":7},"tags":["a",1]}'),
    'paid user.id=7 tags=["a",1] pid=6');
  assert.equal(read('{"event":"login","ok":true,"note":"two words","empty":""}'),
    'login ok=true note="two words" empty=""');
  assert.equal(read('{"status":502,"error":{"message":"refused"}}'), 'refused status=502');
  assert.equal(read('{"a":null}'), 'a=null');
});

test('the page shows a message as a terminal does', () => {
  const cases = readFileSync(new URL('../../../fixtures/summaries.jsonl', import.meta.url), 'utf8');
  for (const { message, shown } of cases.trim().split('\n').map((row) => JSON.parse(row))) {
    assert.equal(read(message) ?? stripAnsi(message), shown, message);
  }
});

test('JSON after a prefix, in a string, and in the text of another logger is read', () => {
  assert.equal(read('api | {"msg":"x","status":5}'), 'api | x status=5');
  assert.equal(read('{not json} {"msg":"x"}'), '{not json} x');
  assert.equal(read(JSON.stringify('{"msg":"inner","a":1}')), 'inner a=1');
  assert.equal(read(JSON.stringify({ log: '{"msg":"deep","k":"v"}', stream: 'stdout' })), 'deep k=v stream=stdout');
});

test('a level or a time that the columns do not have stays, and so does a message that is all of it', () => {
  assert.equal(read('{"msg":"x","level":"gold","time":"soon"}'), 'x level=gold time=soon');
  for (const message of ['{"level":30}', '{}', '[1]', 'x', '{"a":', '', '"text"']) {
    assert.equal(summaryOf(message), null, message);
  }
});

test('fields that are columns are left out of the summary', () => {
  assert.equal(read('{"msg":"x","status":5,"path":"/"}', ['status']), 'x path=/');
});

test('digits and odd keys stay as they were sent', () => {
  const message = '{"id":12345678901234567890,"__proto__":1,"constructor":{"a":2}}';
  assert.equal(read(message), 'id=12345678901234567890 __proto__=1 constructor.a=2');
  assert.deepEqual([...fieldsOf(message).values()], ['12345678901234567890', '1', '2']);
  assert.equal(fieldOf(message, '__proto__'), '1');
  for (const path of ['toString', 'valueOf', 'constructor.b', 'id.length']) {
    assert.equal(fieldOf(message, path), null, path);
  }
});

test('escapes of a terminal do not reach the summary', () => {
  assert.equal(read(JSON.stringify({ msg: '\x1b[31mred\x1b[0m', k: '\x1b[1mv\x1b[0m' })), 'red k=v');
});

test('fields are the members of JSON, the pairs of logfmt and the parts of access logs', () => {
  const json = '{"user":{"id":7},"items":[{"sku":"a"},{"sku":"b"}],"n":null,"log.level":"info"}';
  assert.deepEqual(Object.fromEntries(fieldsOf(json)),
    { 'user.id': '7', 'items.0.sku': 'a', 'items.1.sku': 'b', n: 'null', 'log.level': 'info' });
  assert.equal(fieldOf(json, 'items.1.sku'), 'b');
  assert.equal(fieldOf(json, 'log.level'), 'info');
  assert.equal(fieldOf(json, 'items.2.sku'), null);
  assert.deepEqual(Object.fromEntries(fieldsOf('level=info msg="a \\"b\\"" status=500 x')),
    { level: 'info', msg: 'a "b"', status: '500' });
  const access = '1.2.3.4 - bob [10/Oct/2000:13:55:36 -0700] "GET /a?b=1 HTTP/1.0" 404 2326 "http://x" "Mozilla/5"';
  assert.deepEqual(Object.fromEntries(fieldsOf(access)), {
    method: 'GET', path: '/a?b=1', protocol: 'HTTP/1.0', status: '404', bytes: '2326',
    referer: 'http://x', agent: 'Mozilla/5',
  });
  assert.deepEqual(Object.fromEntries(fieldsOf('retry a=1, b=2; @c=3 1d=4')), { a: '1', b: '2', '@c': '3' });
  assert.equal(fieldsOf('{"a=1": ').size, 0);
  assert.equal(fieldsOf('nothing = here').size, 0);
});

test('any text is read without an exception, and in bounded time', () => {
  const next = random(3);
  const letters = ['{', '}', '[', ']', '"', ':', ',', '\\', 'a', '=', ' ', '1', '{"a":', '\u{1f600}'];
  for (let round = 0; round < 3_000; round++) {
    let text = '{';
    for (let i = 0; i < 20; i++) text += letters[Math.floor(next() * letters.length)];
    for (const message of [text, `${text}"}`, `"${text}"`]) {
      structureOf(message);
      summaryOf(message);
      fieldsOf(message);
    }
  }
  const nested = `${'{"a":'.repeat(8_000)}1${'}'.repeat(8_000)}`;
  const started = cpuMs();
  for (const message of [nested, '{'.repeat(50_000), `${'a="'.repeat(20_000)}`, `${'a=b '.repeat(20_000)}`, `{${'"k":1,'.repeat(10_000)}"k":1}`]) {
    summaryOf(message);
    fieldsOf(message);
  }
  assert.ok(cpuMs() - started < 2_000);
});

test('a folded trace is shown with the line that names the error, unless its head does', () => {
  const lines = (...messages) => tellingLine(messages.map((message) => ({ message })));
  assert.equal(lines('Traceback (most recent call last):', '  File "a", line 1', 'shop.CurrencyError: no EUR'), 'shop.CurrencyError: no EUR');
  assert.equal(lines('ERROR failed', 'Traceback (most recent call last):', 'KeyError: 1'), 'KeyError: 1');
  assert.equal(lines('java.lang.IllegalStateException: x', '\tat a.b'), '');
  const java = ['java.lang.IllegalStateException: x', '\tat a.b', 'Caused by: b.CException: y', '\tat c.d'];
  assert.equal(lines('ERROR 1 --- [main] Search : failed', ...java), java[0]);
  assert.equal(lines(`ERROR failed: ${java[0]}`, ...java), '');
  assert.equal(lines('panic: boom', 'goroutine 1 [running]:'), '');
});

test('the exception of a traceback tells, whatever its class and its traceback are', () => {
  const head = 'Traceback (most recent call last):';
  const frames = ['  File "/app/a.py", line 1, in f', '    g()', '    ~^^'];
  const lines = (...messages) => tellingLine(messages.map((message) => ({ message })));
  for (const last of ['shop.NoSuchShop: 7', 'KeyboardInterrupt', 'django.http.response.Http404', 'AssertionError', 'StopIteration: x']) {
    assert.equal(lines(head, ...frames, last), last);
    assert.equal(lines('ERROR failed', 'while paying', head, ...frames, last, 'a note about it'), last);
    assert.equal(lines(`12:00 ERROR ${head}`, ...frames, last), last);
    assert.equal(lines('ERROR failed', [head, ...frames, last].join('\r\n')), last);
    assert.equal(lines(head, ...frames, 'KeyError: 1', '', 'During handling of the above exception, another exception occurred:', '', head, ...frames, last), last);
  }
  assert.equal(lines('  + Exception Group Traceback (most recent call last):', '  |   File "a", line 1', '  | ExceptionGroup: two (2 sub-exceptions)',
    '  +-+---------------- 1 ----------------', '    | Traceback (most recent call last):', '    |   File "a", line 2', '    | ValueError: 1', '    +----'),
  'ExceptionGroup: two (2 sub-exceptions)');
  assert.equal(lines(head, ...frames), '');
});
