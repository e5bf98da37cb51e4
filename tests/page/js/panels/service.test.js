import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Service } from '../../../../src/natstream/web/static/js/panels/service.js';

/**
 * Ask three times, and return how often the page asked for watches.
 * @param {number} status of the answer
 * @param {object[]} watches
 */
async function timesAsked(status, watches) {
  let asked = 0;
  const page = /** @type {any} */ (globalThis);
  page.document = { hidden: false };
  page.fetch = async (/** @type {string} */ address) => {
    if (address !== 'api/watches') return { ok: true, status: 200, json: async () => ({ epoch: 'e1', sources: {} }) };
    asked += 1;
    return { ok: status === 200, status, json: async () => ({ watches }) };
  };
  const nothing = () => {};
  const service = new Service(/** @type {any} */ ({ state: { name: 'live' } }), {
    status: nothing, facets: nothing, watches: nothing, filter: () => new URLSearchParams(), isBad: () => false,
  });
  for (let round = 0; round < 3; round += 1) {
    service.ask();
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  }
  service.forget();
  return asked;
}

test('watches are asked for again if there are some, or if there was no answer', async () => {
  assert.equal(await timesAsked(200, [{}]), 3);
  assert.equal(await timesAsked(503, []), 3);
});

test('watches are not asked for again if there are none, or if the page may not see them', async () => {
  assert.equal(await timesAsked(200, []), 1);
  assert.equal(await timesAsked(403, []), 1);
});
