// The shared worker of all tabs of a browser. Its work is in `SharedStreams`, so that tests can run it
// without a worker.

import { SharedStreams } from './shared_streams.js';

const SWEEP_MS = 5_000;

const streams = new SharedStreams();
addEventListener('connect', (event) => {
  streams.connect(/** @type {MessageEvent} */ (event).ports[0]);
});
setInterval(() => streams.sweep(), SWEEP_MS);
