import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lastLine, summarize } from '../../../../src/natstream/web/static/js/panels/status.js';

const streamState = (name, more = {}) => ({ name, detail: 'why', until: 0, ...more });

const up = { state: 'up', since: 0, detail: '' };

test('the state says the worst that is true', () => {
  const status = (sources) => ({ sources });
  const all = [
    [streamState('live'), status({ nats: up, drain: up }), 'good', 'Live'],
    [streamState('live'), null, 'busy', 'Connected'],
    [streamState('live'), status({ nats: { ...up, state: 'lost' }, drain: up }), 'bad', 'Connected · NATS lost'],
    [streamState('live'), status({ nats: { ...up, state: 'mute' } }), 'bad', 'Connected · NATS mute'],
    [streamState('live'), status({ nats: { ...up, state: 'denied' } }), 'bad', 'Connected · NATS denied'],
    [streamState('live'), status({ nats: up, journal: { ...up, state: 'lost', reason: 'full' } }), 'bad', 'Connected · journal full'],
    [streamState('live'), status({ journal: { ...up, state: 'denied', reason: 'unfit' } }), 'bad', 'Connected · journal unfit'],
    [streamState('live'), status({ journal: { ...up, state: 'denied', reason: 'denied' } }), 'bad', 'Connected · journal denied'],
    [streamState('live'), status({ journal: { ...up, state: 'lost', reason: 'reader' } }), 'bad', 'Connected · journal lost'],
    [streamState('live'), status({ nats: { ...up, state: 'connecting' } }), 'busy', 'Connected · NATS connecting'],
    [streamState('live'), status({ hub: { ...up, state: 'crashed' }, nats: up }), 'bad', 'Connected · hub crashed'],
    [streamState('connecting'), status({ nats: up }), 'busy', 'Connecting'],
    [streamState('waiting', { until: 4_200 }), status({ nats: up }), 'bad', 'Disconnected · again in 4 s'],
    [streamState('waiting', { until: 900 }), null, 'bad', 'Disconnected · trying again'],
    [streamState('denied'), null, 'bad', 'Token needed'],
    [streamState('refused'), null, 'bad', 'Not understood'],
    [streamState('idle'), null, 'idle', 'New lines wait in the service'],
  ];
  for (const [state, known, tone, text] of all) {
    const summary = summarize(state, known, 'the page was hidden', 1_000);
    assert.deepEqual([summary.tone, summary.text], [tone, text]);
  }
  // Before the first connection, nothing waits anywhere.
  assert.equal(summarize(streamState('idle'), null, '', 1_000).text, 'Connecting');
});

test('each source says when its last line came, and what is known of its silence', () => {
  const now = 1_000_000;
  const all = [
    [{ ...up, last_line: now - 3_000 }, 'last line 3 s ago'],
    [{ ...up, last_line: now + 2_000 }, 'last line now'], // the service's clock is ahead
    [{ ...up, last_line: now - 720_000, checked: now - 20_000 }, 'no lines for 12 min; checked 20 s ago'],
    [{ ...up, last_line: now - 3_000, checked: now - 20_000 }, 'last line 3 s ago'],
    [{ ...up, last_line: now - 720_000, uncheckable: true },
      'no lines for 12 min; it cannot be checked whether there are any'],
    [{ ...up, since: now - 60_000, last_line: null, checked: now - 1_000 }, 'no lines for 60 s; checked 1 s ago'],
    [{ ...up, state: 'mute', last_line: now - 720_000, checked: now - 90_000 }, 'last line 12 min ago'],
    [{ ...up, state: 'connecting', last_line: null }, 'no lines yet'],
    [{ state: 'up', since: 0 }, ''],
  ];
  for (const [source, text] of all) assert.equal(lastLine(source, now), text);
  const known = { sources: { nats: { ...up, last_line: now - 3_000 } } };
  assert.match(summarize(streamState('live'), known, '', now).detail, /NATS: last line 3 s ago/);
});
