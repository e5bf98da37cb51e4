import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MOST_STREAMS, SharedStreams } from '../../../../src/natstream/web/static/js/stream/shared_streams.js';
import { MOST_BEHIND } from '../../../../src/natstream/web/static/js/stream/member.js';
import { random as randomFrom } from '../random.js';

const random = randomFrom(20);

const URL = 'http://x/api/logs?';
const encoder = new TextEncoder();
const settle = () => new Promise((resolve) => setTimeout(resolve, 0));

/** A service with numbered lines, which answers as `fetch` does. */
class Service {
  lines = [];
  open = new Set();
  replays = 0;
  reader = '';
  /** Bytes of the blocks of each line. */
  padding = '';

  ask = async (address, { signal, headers }) => {
    const params = new globalThis.URL(address).searchParams;
    if (signal.aborted) throw signal.reason;
    if (this.refusal) return new Response('{"error":"no"}', { status: this.refusal });
    const resumed = /-(\d+)$/.exec(headers['Last-Event-ID'] ?? '');
    const tail = params.get('tail');
    let next = resumed ? Number(resumed[1]) + 1
      : tail === null ? this.lines.length : Math.max(0, this.lines.length - Number(tail));
    const follow = params.get('follow') !== 'false';
    const body = new ReadableStream({
      start: (controller) => {
        controller.enqueue(encoder.encode('retry: 1000\ndata: {"type":"system"}\n\n'));
        const connection = {
          pump: () => {
            if (connection.isOver) return;
            const blocks = this.lines.slice(next).map((line) => this.blockOf(line)).join('');
            next = this.lines.length;
            // Chunks are cut anywhere.
            for (let at = 0; at < blocks.length;) {
              const size = 1 + Math.floor(random() * 200);
              controller.enqueue(encoder.encode(blocks.slice(at, at + size)));
              at += size;
            }
          },
          end: () => {
            if (connection.isOver) return;
            connection.isOver = true;
            this.open.delete(connection);
            try { controller.error(new TypeError('cut')); } catch { /* it was closed */ }
          },
        };
        connection.pump();
        if (follow) this.open.add(connection);
        else {
          this.replays += 1;
          controller.close();
        }
        signal.addEventListener('abort', () => connection.end());
      },
    });
    await settle();
    return new Response(body, { headers: { 'Natstream-Reader': this.reader } });
  };

  blockOf(number) {
    return `id: 1700-${this.epoch ?? 'a'}-${number}\ndata: {"n":${number}${this.padding}}\n\n`;
  }

  publish(count) {
    for (let one = 0; one < count; one++) this.lines.push(this.lines.length);
    for (const connection of this.open) connection.pump();
  }
}

/** A tab of a browser. */
class FakeTab {
  text = '';
  answers = [];
  ends = [];
  waits = 0;
  takes = true;
  #decoder = new TextDecoder();

  constructor(streams) {
    this.port = { onmessage: null, postMessage: (message) => this.#hear(message), close() {} };
    streams.connect(this.port);
  }

  say(data) {
    this.port.onmessage({ data });
  }

  ask(params, { lastId = '', of = 1 } = {}) {
    this.say({ ask: of, url: URL + params, lastId });
    return this;
  }

  #hear({ of, answer, piece, end, waits }) {
    if (answer) this.answers.push(answer.status);
    if (waits) this.waits += 1;
    if (end) this.ends.push(end);
    if (!piece) return;
    this.text += this.#decoder.decode(piece);
    if (this.takes) queueMicrotask(() => this.say({ taken: of, size: piece.length }));
  }

  get numbers() {
    return [...this.text.matchAll(/"n":(\d+)/g)].map(([, number]) => Number(number));
  }
}

async function until(condition, what) {
  for (let tries = 0; !condition(); tries++) {
    assert.ok(tries < 2_000, `waited in vain for ${what}`);
    await settle();
  }
}

const range = (from, to) => Array.from({ length: to - from }, (_, index) => from + index);

test('tabs with equal queries share one stream, and each gets its own replay', async () => {
  const service = new Service();
  const streams = new SharedStreams(service.ask);
  service.publish(10);
  const first = new FakeTab(streams).ask('app=a%2Cb&q=x&tail=5');
  await until(() => first.numbers.length === 5, 'the tail');
  const second = new FakeTab(streams).ask('q=x&tail=8&app=b&app=a');
  await until(() => second.numbers.length === 8, 'the longer tail');
  service.publish(3);
  await until(() => second.numbers.length === 11 && first.numbers.length === 8, 'the new lines');
  assert.deepEqual(first.numbers, range(5, 13));
  assert.deepEqual(second.numbers, range(2, 13));
  assert.equal(service.open.size, 1);
});

test('at the border of replay and stream no line is missing or doubled', async () => {
  for (let round = 0; round < 60; round++) {
    const service = new Service();
    const streams = new SharedStreams(service.ask);
    const tabs = [];
    service.publish(Math.floor(random() * 30));
    for (let step = 0; step < 25; step++) {
      if (random() < 0.3) {
        const from = random() < 0.5 ? '' : `1700-a-${Math.floor(random() * service.lines.length)}`;
        const first = from ? Number(from.slice(7)) + 1 : Math.max(0, service.lines.length - 7);
        const tab = new FakeTab(streams).ask(from ? 'q=x' : 'q=x&tail=7', { lastId: from });
        if (service.lines.length || !from) tabs.push({ tab, first, from });
      }
      if (random() < 0.7) service.publish(Math.floor(random() * 6));
      if (random() < 0.6) await settle();
      if (random() < 0.1 && tabs.length > 1) tabs.shift().tab.say({ bye: true });
    }
    await until(() => tabs.every(({ tab }) => tab.answers.length), 'the answers');
    service.publish(2);
    const last = service.lines.length - 1;
    await until(() => tabs.every(({ tab }) => tab.numbers.at(-1) === last), 'the last line');
    for (const { tab, first, from } of tabs) {
      // A tail is counted when the service answers, which is a moment later.
      const start = from ? first : tab.numbers[0];
      assert.ok(start >= first);
      assert.deepEqual(tab.numbers, range(start, last + 1));
    }
    assert.ok(service.open.size <= 1);
  }
});

test('at most four streams are open, and the others wait for one', async () => {
  const service = new Service();
  const streams = new SharedStreams(service.ask);
  const tabs = range(0, 7).map((one) => new FakeTab(streams).ask(`q=${one}&tail=1`));
  await until(() => service.open.size === MOST_STREAMS, 'the streams');
  await settle();
  assert.deepEqual(tabs.map(({ waits }) => waits), [0, 0, 0, 0, 1, 1, 1]);
  tabs[1].say({ bye: true });
  await until(() => tabs[4].answers.length, 'the fifth tab');
  assert.equal(service.open.size, MOST_STREAMS);
  assert.equal(tabs[5].answers.length, 0);
  // A tab with the query of another needs no stream of its own.
  const equal = new FakeTab(streams).ask('tail=1&q=0');
  await until(() => equal.answers.length, 'the tab with an equal query');
  assert.equal(equal.waits, 0);
  // A waiting tab goes on when another tab opens its query.
  tabs[6].say({ drop: 1 });
  tabs[6].ask('q=5&tail=1', { of: 2 });
  tabs[0].say({ bye: true });
  equal.say({ bye: true });
  await until(() => tabs[6].answers.length && tabs[5].answers.length, 'both tabs');
});

test('a tab that changes its query keeps its place', async () => {
  const service = new Service();
  const streams = new SharedStreams(service.ask);
  const tabs = range(0, 5).map((one) => new FakeTab(streams).ask(`q=${one}`));
  await until(() => service.open.size === MOST_STREAMS, 'the streams');
  tabs[2].ask('q=other', { of: 2 });
  await until(() => tabs[2].answers.includes(503), 'the refusal');
  tabs[2].say({ drop: 1 });
  await new Promise((resolve) => setTimeout(resolve, 5));
  tabs[2].ask('q=other', { of: 3 });
  await until(() => tabs[2].answers.at(-1) === 200, 'the other query');
  assert.equal(tabs[4].answers.length, 0);
});

test('a slow tab holds up no other, and is dropped before it costs much memory', async () => {
  const service = new Service();
  service.padding = `,"x":"${'y'.repeat(20_000)}"`;
  const streams = new SharedStreams(service.ask);
  const quick = new FakeTab(streams).ask('q=x&tail=0');
  await until(() => quick.answers.length, 'the stream');
  const slow = new FakeTab(streams).ask('q=x&tail=0');
  slow.takes = false;
  await until(() => slow.answers.length, 'the shared stream');
  const wanted = Math.ceil(MOST_BEHIND / 20_000) + 100;
  for (let lines = 0; lines < wanted; lines += 10) {
    service.publish(10);
    await settle();
  }
  await until(() => quick.numbers.length === wanted, 'all lines of the quick tab');
  assert.deepEqual(slow.ends, ['cut']);
  assert.ok(slow.text.length < MOST_BEHIND + 200_000);
  assert.equal(service.open.size, 1);
});

test('a frozen tab is dropped, and its stream is closed', async () => {
  const service = new Service();
  const streams = new SharedStreams(service.ask);
  const frozen = new FakeTab(streams);
  frozen.takes = false;
  frozen.ask('q=x&tail=0');
  await until(() => frozen.text, 'the stream');
  streams.sweep(performance.now() + 29_000);
  assert.deepEqual(frozen.ends, []);
  streams.sweep(performance.now() + 31_000);
  assert.deepEqual(frozen.ends, ['cut']);
  await until(() => service.open.size === 0, 'its end');
});

test('readers with different rights never share', async () => {
  const service = new Service();
  service.reader = 'one';
  const streams = new SharedStreams(service.ask);
  const first = new FakeTab(streams).ask('q=x&tail=1');
  await until(() => first.answers.length, 'the first tab');
  service.reader = 'two';
  const second = new FakeTab(streams).ask('q=x&tail=1');
  const third = new FakeTab(streams).ask('q=x&tail=1');
  await until(() => second.answers.length && third.answers.length, 'the others');
  assert.equal(service.open.size, 2);
});

test('a replay of another process is not joined to the stream', async () => {
  const service = new Service();
  const streams = new SharedStreams(service.ask);
  service.publish(3);
  const first = new FakeTab(streams).ask('q=x&tail=9');
  await until(() => first.numbers.length === 3, 'the first tab');
  service.epoch = 'b';
  const second = new FakeTab(streams).ask('q=x&tail=9');
  await until(() => service.open.size === 2, 'a stream of its own');
  service.publish(2);
  await until(() => second.numbers.length === 5, 'the lines');
  assert.deepEqual(second.numbers, range(0, 5));
  assert.equal(second.text.split('retry:').length, 2, 'its stream begins once');
});

test('a refusal reaches the tab, and every tab asks for itself', async () => {
  const service = new Service();
  service.refusal = 400;
  const streams = new SharedStreams(service.ask);
  const tabs = [new FakeTab(streams).ask('q=x'), new FakeTab(streams).ask('q=x')];
  await until(() => tabs.every(({ ends }) => ends.length), 'the refusals');
  assert.deepEqual(tabs.map(({ answers }) => answers), [[400], [400]]);
});

test('all tabs of a connection that is cut are told, and share the next one', async () => {
  const service = new Service();
  const streams = new SharedStreams(service.ask);
  service.publish(4);
  const tabs = [new FakeTab(streams), new FakeTab(streams)];
  for (const tab of tabs) tab.ask('q=x&tail=9');
  await until(() => tabs.every(({ numbers }) => numbers.length === 4), 'the lines');
  for (const connection of service.open) connection.end();
  await until(() => tabs.every(({ ends }) => ends.length), 'the ends');
  service.publish(2);
  for (const tab of tabs) tab.ask('q=x', { of: 2, lastId: '1700-a-3' });
  await until(() => tabs.every(({ numbers }) => numbers.length === 6), 'the missed lines');
  assert.equal(service.open.size, 1);
  for (const tab of tabs) assert.deepEqual(tab.numbers, range(0, 6));
});
