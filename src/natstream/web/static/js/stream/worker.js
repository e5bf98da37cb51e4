// The shared worker of all tabs of a browser. Its work is in `SharedStreams`, so that tests can run it
// without a worker.

import { SharedStreams } from './shared_streams.js';

const SWEEP_MS = 5_000;

// The worker holds a lock for as long as it lives. A tab that waits for the lock learns at once that the
// worker has died, for example with the tab that had started it. Only secure contexts have locks.
/** @type {Promise<string>} */
const held = new Promise((resolve) => {
  const lock = `natstream-${Math.random()}`;
  void navigator.locks?.request(lock, () => {
    resolve(lock);
    return new Promise(() => {});
  });
});

const streams = new SharedStreams();
addEventListener('connect', (event) => {
  const [port] = /** @type {MessageEvent} */ (event).ports;
  streams.connect(port);
  void held.then((lock) => port.postMessage({ lock }));
});
setInterval(() => streams.sweep(), SWEEP_MS);
