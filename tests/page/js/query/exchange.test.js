import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { QueryExchange } from '../../../../src/natstream/web/static/js/query/exchange.js';
import { parseQuery } from '../../../../src/natstream/web/static/js/query/language.js';

const TAILS = [10, 100];

/** The requests that were sent, with ways to answer them. */
let requests = [];

beforeEach(() => {
  requests = [];
  mock.method(globalThis, 'fetch', (url, { signal }) => new Promise((resolve, reject) => {
    const request = { params: String(url).split('?')[1], aborted: false };
    request.answer = (status, body = {}) => resolve(new Response(JSON.stringify(body), { status }));
    request.fail = () => reject(new TypeError('no connection'));
    signal.addEventListener('abort', () => {
      request.aborted = true;
      reject(signal.reason);
    });
    requests.push(request);
  }));
});
afterEach(() => {
  mock.restoreAll();
  mock.timers.reset();
});

/** An exchange with a stream that writes down what it is told. */
function open() {
  const stream = {
    isResumable: false,
    calls: [],
    begin(params, request) { this.calls.push(['begin', params, request?.params]); },
    release(params) { this.calls.push(['release', params]); },
    refuse(detail) { this.calls.push(['refuse', detail]); },
  };
  const told = [];
  const exchange = new QueryExchange(stream, TAILS, {
    changed: ({ typed = false, why = 'asks' }) => told.push(['changed', typed, why]),
    sent: () => told.push(['sent']),
    declined: (detail) => told.push(['declined', detail]),
  });
  return { exchange, stream, told };
}

/** An exchange whose first request, `app:web`, is granted and shown. */
function openGranted() {
  const opened = open();
  ask(opened.exchange, 'app:web');
  opened.exchange.grant();
  opened.stream.isResumable = true;
  opened.stream.calls.length = opened.told.length = 0;
  return opened;
}

const ask = (exchange, text) => exchange.change((wish) => { wish.query = parseQuery(text); });
const settle = () => new Promise((resolve) => setImmediate(resolve));
const apps = (exchange) => exchange.wish.query.fields.app;

test('the first request begins the stream at once', () => {
  const { exchange, stream, told } = open();
  ask(exchange, 'app:web x');
  assert.deepEqual(stream.calls, [['begin', 'app=web&q=x&tail=10', undefined]]);
  assert.deepEqual(told, [['changed', false, 'asks'], ['sent']]);
  assert.equal(requests.length, 0);
});

test('while a stream is open, a request is asked first and granted with its answer', async () => {
  const { exchange, stream } = openGranted();
  ask(exchange, 'app:api');
  assert.deepEqual(requests.map(({ params }) => params), ['app=api&tail=10']);
  assert.deepEqual(stream.calls, []);
  requests[0].answer(200);
  await settle();
  assert.deepEqual(stream.calls, [['begin', 'app=api&tail=10', 'app=api&tail=10']]);
  assert.equal(requests[0].aborted, false);
});

test('a declined request restores the granted one, and the stream goes on', async () => {
  const { exchange, stream, told } = openGranted();
  ask(exchange, 'app:api since:banana');
  exchange.change((wish) => { wish.depth = 1; });
  requests[1].answer(400, { error: 'since takes 10m' });
  await settle();
  await settle();
  assert.deepEqual(apps(exchange), ['web']);
  assert.equal(exchange.wish.depth, 0);
  assert.deepEqual(told.slice(-2), [['changed', true, 'restores'], ['declined', 'since takes 10m']]);
  assert.deepEqual(stream.calls, []);
  // The restored request is asked already, but the declined one can be asked again.
  ask(exchange, 'app:web');
  assert.equal(requests.length, 2);
  ask(exchange, 'app:api since:banana');
  assert.equal(requests.length, 3);
});

test('a newer request replaces one that has no answer yet', async () => {
  const { exchange, stream, told } = openGranted();
  ask(exchange, 'app:api');
  ask(exchange, 'app:db');
  assert.equal(requests[0].aborted, true);
  requests[0].answer(400, { error: 'too late' });
  requests[1].answer(200);
  await settle();
  assert.deepEqual(stream.calls, [['begin', 'app=db&tail=10', 'app=db&tail=10']]);
  assert.ok(!told.some(([name]) => name === 'declined'));
});

test('a request is not declined while a newer one waits', async () => {
  const { exchange, told } = openGranted();
  ask(exchange, 'app:api');
  requests[0].answer(400, { error: 'no' });
  await Promise.resolve(); // the status is here, but the reason is not
  ask(exchange, 'app:db');
  await settle();
  assert.deepEqual(apps(exchange), ['db']);
  assert.ok(!told.some(([name]) => name === 'declined'));
});

test('without an answer for two seconds the old stream ends all the same', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const { exchange, stream } = openGranted();
  ask(exchange, 'app:api');
  mock.timers.tick(1_999);
  await settle();
  assert.deepEqual(stream.calls, []);
  mock.timers.tick(1);
  await settle();
  assert.deepEqual(stream.calls, [['begin', 'app=api&tail=10', 'app=api&tail=10']]);
});

test('without room for two streams the old one ends, and the request is sent again', async () => {
  const { exchange, stream } = openGranted();
  ask(exchange, 'app:api');
  requests[0].answer(503);
  await settle();
  ask(exchange, 'app:db');
  requests[1].fail();
  await settle();
  assert.deepEqual(stream.calls, [
    ['begin', 'app=api&tail=10', undefined], ['begin', 'app=db&tail=10', undefined],
  ]);
});

test('a change that needs no other lines is granted without a question', async () => {
  const { exchange, stream } = openGranted();
  exchange.change((wish) => { wish.marking = true; });
  ask(exchange, 'app:web x');
  assert.equal(requests.length, 0);
  assert.deepEqual(stream.calls, []);
  ask(exchange, 'app:nope');
  requests[0].answer(400, { error: 'no' });
  await settle();
  await settle();
  assert.deepEqual(exchange.wish.query.texts.map(({ text }) => text), ['x']);
  assert.equal(exchange.wish.marking, true);
});

test('a stream that starts anew does not grant a request that has no answer', async () => {
  const { exchange } = openGranted();
  ask(exchange, 'app:api');
  exchange.grant(); // the old stream was cut, and the service no longer knew its event id
  requests[0].answer(400, { error: 'no' });
  await settle();
  await settle();
  assert.deepEqual(apps(exchange), ['web']);
});

test('a released exchange asks its open request when the stream resumes', () => {
  const { exchange, stream } = openGranted();
  exchange.release();
  ask(exchange, 'app:api');
  exchange.release();
  assert.equal(requests[0].aborted, true);
  assert.deepEqual(stream.calls, [['release', undefined], ['release', 'app=api&tail=10']]);
});

test('a wish with an error asks for nothing until it is changed', () => {
  const { exchange, stream } = openGranted();
  exchange.refuse({ query: parseQuery('level<warn'), marking: false, depth: 0 });
  assert.match(stream.calls[0][1], /name the levels/);
  stream.isResumable = false;
  ask(exchange, 'app:web');
  assert.deepEqual(stream.calls[1], ['begin', 'app=web&tail=10', undefined]);
  assert.equal(exchange.wish.query.error, '');
});

test('the same lines can be asked for once more', () => {
  const { exchange, stream } = open();
  ask(exchange, 'app:web');
  exchange.askAgain();
  assert.deepEqual(stream.calls.map(([, params]) => params), ['app=web&tail=10', 'app=web&tail=10']);
});

test('earlier lines exist if the service sent as many as were asked for', () => {
  const { exchange } = open();
  assert.equal(exchange.hasEarlier(10), true);
  assert.equal(exchange.hasEarlier(9), false);
  exchange.change((wish) => { wish.depth = 1; });
  assert.equal(exchange.hasEarlier(100), false);
});

test('a wish is not changed by a change that was not asked', () => {
  const { exchange } = openGranted();
  const before = exchange.wish;
  exchange.change(({ query }) => { query.fields.app.push('api'); });
  assert.deepEqual(before.query.fields.app, ['web']);
});
