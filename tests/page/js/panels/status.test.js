import assert from 'node:assert/strict';
import { test } from 'node:test';
import { summarize } from '../../../../src/natstream/web/static/js/panels/status.js';

const feed = (name, more = {}) => ({ name, detail: 'why', until: 0, ...more });

const up = { state: 'up', since: 0, detail: '' };

test('the state says the worst that is true', () => {
  const status = (sources) => ({ sources });
  const all = [
    [feed('live'), status({ nats: up, drain: up }), 'good', 'Live'],
    [feed('live'), null, 'busy', 'Connected'],
    [feed('live'), status({ nats: { ...up, state: 'lost' }, drain: up }), 'bad', 'Connected · NATS lost'],
    [feed('live'), status({ nats: { ...up, state: 'denied' } }), 'bad', 'Connected · NATS denied'],
    [feed('live'), status({ nats: up, journal: { ...up, state: 'lost', reason: 'full' } }), 'bad', 'Connected · journal full'],
    [feed('live'), status({ journal: { ...up, state: 'denied', reason: 'unfit' } }), 'bad', 'Connected · journal unfit'],
    [feed('live'), status({ journal: { ...up, state: 'denied', reason: 'denied' } }), 'bad', 'Connected · journal denied'],
    [feed('live'), status({ journal: { ...up, state: 'lost', reason: 'reader' } }), 'bad', 'Connected · journal lost'],
    [feed('live'), status({ nats: { ...up, state: 'connecting' } }), 'busy', 'Connected · NATS connecting'],
    [feed('live'), status({ hub: { ...up, state: 'crashed' }, nats: up }), 'bad', 'Connected · hub crashed'],
    [feed('connecting'), status({ nats: up }), 'busy', 'Connecting'],
    [feed('waiting', { until: 4_200 }), status({ nats: up }), 'bad', 'Disconnected · again in 4 s'],
    [feed('waiting', { until: 900 }), null, 'bad', 'Disconnected · trying again'],
    [feed('denied'), null, 'bad', 'Token needed'],
    [feed('refused'), null, 'bad', 'Not understood'],
    [feed('idle'), null, 'idle', 'New lines wait in the service'],
  ];
  for (const [state, known, tone, text] of all) {
    const summary = summarize(state, known, 'the page was hidden', 1_000);
    assert.deepEqual([summary.tone, summary.text], [tone, text]);
  }
  // Before the first connection, nothing waits anywhere.
  assert.equal(summarize(feed('idle'), null, '', 1_000).text, 'Connecting');
});
