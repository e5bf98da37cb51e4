// Reads a stream with a library from npm, and prints the data of each event as a line.
//
//   node reader.mjs LIBRARY ADDRESS

const [library, address] = process.argv.slice(2);

const show = ({ data }) => {
  if (data) process.stdout.write(`${data}\n`);
};

const readers = {
  async eventsource() {
    const { EventSource } = await import('eventsource');
    new EventSource(address).onmessage = show;
  },

  async eventsource2() {
    const { default: EventSource } = await import('eventsource2');
    new EventSource(address).onmessage = show;
  },

  async 'event-source-polyfill'() {
    const { default: polyfill } = await import('event-source-polyfill');
    new polyfill.EventSourcePolyfill(address).onmessage = show;
  },

  // It comes back with a new EventSource, here one that closes for good at every error.
  async 'reconnecting-eventsource'() {
    const { default: EventSource } = await import('eventsource2');
    globalThis.EventSource = EventSource;
    const { default: loaded } = await import('reconnecting-eventsource');
    const Reconnecting = loaded.default ?? loaded;
    new Reconnecting(address).onmessage = show;
  },

  async '@microsoft/fetch-event-source'() {
    // It expects a browser's window and page.
    globalThis.window = globalThis;
    globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
    const { fetchEventSource } = await import('@microsoft/fetch-event-source');
    await fetchEventSource(address, { onmessage: show, onerror() {}, openWhenHidden: true });
  },
};

// eventsource 5 lets the program end while it waits to reconnect.
setInterval(() => {}, 60_000);
await readers[library]();
