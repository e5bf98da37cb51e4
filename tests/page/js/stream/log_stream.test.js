import assert from 'node:assert/strict';
import { after, before, mock, test } from 'node:test';
import { WorkerDied } from '../../../../src/natstream/web/static/js/stream/worker_client.js';

const OPENING = 'data: {"type":"system","message":"Connected","timestamp":1}\n\n';

before(() => {
  globalThis.addEventListener = () => {};
  // A shown page lets the browser draw, by a channel that would keep this process running.
  globalThis.document = { hidden: true, baseURI: 'http://x/' };
});
after(() => {
  delete globalThis.addEventListener;
  delete globalThis.document;
});

/** Return a stream that begins and then fails. */
function failing(error) {
  const pieces = [new TextEncoder().encode(OPENING)];
  return new Response(new ReadableStream({
    pull(controller) {
      const piece = pieces.shift();
      if (piece) controller.enqueue(piece);
      else controller.error(error);
    },
  }));
}

/** Return the states of a page whose streams end with these errors, up to the first wait. */
async function statesAfter(...errors) {
  const { LogStream } = await import('../../../../src/natstream/web/static/js/stream/log_stream.js');
  mock.method(globalThis, 'fetch', async () => failing(errors.shift()));
  const states = [];
  await new Promise((waits) => {
    const stream = new LogStream({
      state({ name }) {
        states.push(name);
        if (name === 'waiting') queueMicrotask(() => stream.release()); // it has a timer by then
        if (states.includes('waiting') && name === 'idle') waits();
      },
      opened() {},
      events() {},
    });
    stream.begin('q=x');
  });
  mock.restoreAll();
  return states;
}

test('after the death of a worker the page connects at once', async () => {
  assert.deepEqual(await statesAfter(new WorkerDied('dead'), new TypeError('cut')),
    ['idle', 'connecting', 'live', 'connecting', 'live', 'waiting', 'idle']);
});

test('after a cut the page waits', async () => {
  assert.deepEqual(await statesAfter(new TypeError('cut')), ['idle', 'connecting', 'live', 'waiting', 'idle']);
});
