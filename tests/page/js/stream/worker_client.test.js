import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { WorkerClient, WorkerDied } from '../../../../src/natstream/web/static/js/stream/worker_client.js';

const encoder = new TextEncoder();

/** Workers that do what a test says. */
let workers = [];
let direct = [];
/** The requests for locks. */
let waiting = [];

const locks = {
  request: (name, { signal, mode }, granted) => new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
    waiting.push({ name, mode, signal, free: () => resolve(granted()) });
  }),
};

/** Let the worker die whose lock was requested so many requests after the first. */
async function die(number) {
  waiting[number].free();
  await new Promise(setImmediate);
}

beforeEach(() => {
  workers = [];
  direct = [];
  waiting = [];
  globalThis.document = { baseURI: 'http://x/y/' };
  mock.method(globalThis, 'fetch', async (url) => {
    direct.push(url);
    return new Response('directly');
  });
});
afterEach(() => {
  mock.restoreAll();
  mock.timers.reset();
  delete globalThis.document;
});

function start(failed) {
  const worker = { heard: [], failed, postMessage(message) { this.heard.push(message); } };
  workers.push(worker);
  return worker;
}

const ask = (client, signal = new AbortController().signal) => client.request('api/logs?q=x', '1-a-1', signal);
const tell = (worker, data) => worker.onmessage({ data });
const piece = (text) => encoder.encode(text);

test('an answer is read like that of fetch, and each piece is taken once it is read', async () => {
  const client = new WorkerClient(start);
  const request = ask(client);
  const [worker] = workers;
  assert.deepEqual(worker.heard, [{ ask: 1, url: 'http://x/y/api/logs?q=x', lastId: '1-a-1' }]);
  tell(worker, { of: 1, waits: true });
  assert.equal(request.isWaiting(), true);
  tell(worker, { of: 1, answer: { status: 200, after: null, text: '' } });
  assert.equal(request.isWaiting(), false);
  tell(worker, { of: 1, piece: piece('one') });
  tell(worker, { of: 1, piece: piece('two') });
  const reader = (await request.answer).body.getReader();
  assert.equal(worker.heard.length, 1);
  assert.deepEqual((await reader.read()).value, piece('one'));
  assert.deepEqual(worker.heard.slice(1), [{ taken: 1, size: 3 }]);
  tell(worker, { of: 1, end: 'whole' });
  assert.deepEqual((await reader.read()).value, piece('two'));
  assert.equal((await reader.read()).done, true);
});

test('a refusal keeps its status and its words', async () => {
  const client = new WorkerClient(start);
  const { answer } = ask(client);
  tell(workers[0], { of: 1, answer: { status: 503, after: '7', text: '{"error":"full"}' } });
  const response = await answer;
  assert.equal(response.status, 503);
  assert.equal(response.headers.get('Retry-After'), '7');
  assert.deepEqual(await response.json(), { error: 'full' });
});

test('a cut stream fails like a cut connection, after its last piece', async () => {
  const client = new WorkerClient(start);
  const { answer } = ask(client);
  tell(workers[0], { of: 1, answer: { status: 200, after: null, text: '' } });
  tell(workers[0], { of: 1, piece: piece('one') });
  tell(workers[0], { of: 1, end: 'cut' });
  const reader = (await answer).body.getReader();
  assert.deepEqual((await reader.read()).value, piece('one'));
  await assert.rejects(reader.read());
});

test('a request that is given up is dropped', async () => {
  const client = new WorkerClient(start);
  const watch = new AbortController();
  const { answer } = ask(client, watch.signal);
  watch.abort();
  await assert.rejects(answer);
  assert.deepEqual(workers[0].heard.at(-1), { drop: 1 });
});

test('a worker that does not answer is replaced, and asked again', async () => {
  const client = new WorkerClient(start);
  const [old, fresh] = [ask(client), ask(client)];
  tell(workers[0], { of: 1, answer: { status: 200, after: null, text: '' } });
  for (let ping = 0; ping < 2; ping++) client.check();
  assert.equal(workers.length, 1);
  client.check();
  assert.equal(workers.length, 2);
  await assert.rejects((await old.answer).body.getReader().read());
  assert.deepEqual(workers[1].heard.map(({ ask: number }) => number), [2]);
  tell(workers[0], { of: 2, answer: { status: 503, after: null, text: '' } });
  tell(workers[1], { of: 2, answer: { status: 200, after: null, text: '' } });
  assert.equal((await fresh.answer).status, 200);
  for (let ping = 0; ping < 9; ping++) {
    client.check();
    tell(workers[1], { pong: true });
  }
  assert.equal(workers.length, 2);
});

test('a worker whose lock is free is replaced at once, and its streams say so', async () => {
  const client = new WorkerClient(start, locks);
  const [old, fresh] = [ask(client), ask(client)];
  tell(workers[0], { lock: 'life 1' });
  tell(workers[0], { of: 1, answer: { status: 200, after: null, text: '' } });
  tell(workers[0], { of: 1, piece: piece('one') });
  const reader = (await old.answer).body.getReader();
  await die(0);
  assert.deepEqual((await reader.read()).value, piece('one'));
  await assert.rejects(reader.read(), WorkerDied);
  assert.equal(workers[1].heard[0].ask, 2);
  tell(workers[1], { of: 2, answer: { status: 200, after: null, text: '' } });
  assert.equal((await fresh.answer).status, 200);
  assert.deepEqual([waiting[0].name, waiting[0].mode], ['life 1', 'shared']);
});

test('a page that goes away waits for no lock', async () => {
  const client = new WorkerClient(start, locks);
  const { answer } = ask(client);
  tell(workers[0], { lock: 'life 1' });
  client.leave();
  assert.equal(waiting[0].signal.aborted, true);
  await assert.rejects(answer);
  await die(0);
  assert.equal(workers.length, 1);
});

test('a dead worker that the browser gives out once more is replaced again', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const client = new WorkerClient(start, locks);
  ask(client);
  tell(workers[0], { lock: 'life 1' });
  await die(0);
  assert.equal(workers.length, 2);
  mock.timers.tick(1_000);
  assert.equal(workers.length, 3);
  assert.deepEqual(workers[1].heard.at(-1), { bye: true });
  tell(workers[2], { pong: true });
  mock.timers.tick(1_000);
  assert.equal(workers.length, 3);
});

test('locks that are always free replace a worker once in ten seconds', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const client = new WorkerClient(start, locks);
  ask(client);
  tell(workers[0], { lock: 'life 1' });
  await die(0);
  tell(workers[1], { lock: 'life 2' });
  mock.timers.tick(9_000);
  await new Promise(setImmediate);
  assert.equal(waiting.length, 1);
  mock.timers.tick(1_000);
  await new Promise(setImmediate);
  await die(1);
  assert.equal(workers.length, 3);
});

test('a lock that the browser refuses tells of no death', async () => {
  ask(new WorkerClient(start, { request: async () => { throw new Error('SecurityError'); } }));
  tell(workers[0], { lock: 'life 1' });
  await new Promise(setImmediate);
  assert.equal(workers.length, 1);
});

test('a worker that hangs is replaced once, although it frees its lock later', async () => {
  const client = new WorkerClient(start, locks);
  ask(client);
  tell(workers[0], { lock: 'life 1' });
  for (let ping = 0; ping < 3; ping++) client.check();
  assert.equal(waiting[0].signal.aborted, true);
  await die(0);
  assert.equal(workers.length, 2);
});

test('a worker that was given up cannot fail any more', async () => {
  const client = new WorkerClient(start);
  const { answer } = ask(client);
  for (let ping = 0; ping < 3; ping++) client.check();
  workers[0].failed();
  tell(workers[1], { of: 1, answer: { status: 200, after: null, text: '' } });
  assert.equal((await answer).status, 200);
  assert.deepEqual(direct, []);
});

test('without workers, or with broken ones, a tab connects by itself', async () => {
  assert.equal(await (await ask(new WorkerClient(null)).answer).text(), 'directly');
  const unloadable = new WorkerClient(start);
  const asked = ask(unloadable);
  workers[0].failed();
  assert.equal(await (await asked.answer).text(), 'directly');
  const dead = new WorkerClient(start);
  const waiting = ask(dead);
  for (let ping = 0; ping < 6; ping++) dead.check();
  assert.equal(await (await waiting.answer).text(), 'directly');
  const forbidden = new WorkerClient(() => { throw new Error('SecurityError'); });
  assert.equal(await (await ask(forbidden).answer).text(), 'directly');
});
