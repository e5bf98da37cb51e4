import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, documentationOf, kindOf } from '../../../../src/natstream/web/static/js/text/fly.js';

test('lines of Fly about machines are marks; lines of an app never are', () => {
  const kind = (message, provider = 'runner', more = {}) =>
    kindOf({ type: 'system', provider, level: 'info', message, ...more });
  assert.equal(kind('Pulling container image registry.fly.io/web'), 'deploy');
  assert.equal(kind('machine exited with exit code 0, not restarting'), 'restart');
  assert.equal(kind('Health check on port 8080 is now passing.', 'health'), 'health');
  assert.equal(kind('[PC01] instance refused connection', 'proxy'), 'proxy');
  assert.equal(kind('could not finish reading', 'proxy', { level: 'error' }), 'proxy');
  assert.equal(kind('invoked oom-killer: gfp_mask=0xcc0'), 'restart');
  for (const word of ['the waiting room', 'zoom 3', 'oomph']) assert.equal(kind(word), '', word);
  assert.equal(kind('GET /'), '');
  assert.equal(kind('[PC01] x', 'app', { type: 'log' }), '');
});

test('error codes lead to the documentation of Fly', () => {
  assert.equal(CODE.exec('x [PR04] y')?.[1], 'PR04');
  assert.equal(CODE.exec('[pc01]'), null);
  assert.equal(documentationOf('PC01'), 'https://fly.io/docs/reference/error-codes/#:~:text=PC01');
});
