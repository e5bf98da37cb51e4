import assert from 'node:assert/strict';
import { test } from 'node:test';
import { streamKey } from '../../../../src/natstream/web/static/js/stream/stream_key.js';

const key = (query) => streamKey(`http://x/api/logs?${query}`);

test('queries are equal whatever their order, their spelling and where they start', () => {
  const one = key('app=web,api&q=a&q=b&not_region=iad,fra&tail=10');
  for (const equal of [
    'q=b&app=api&not_region=fra&q=a&app=web&not_region=iad&since=10m',
    'app=web%2C%20api,web&q=a&q=b&not_region=iad%2Cfra&last_event_id=1-a-1',
  ]) assert.equal(key(equal), one);
});

test('other lines need another stream', () => {
  const queries = [
    '', 'q=a', 'q=A%2Cb', 'q=A&q=b', 'not=a', 'app=a', 'not_app=a', 'until=10m', 'q=+a', 'field=a=1',
  ];
  assert.equal(new Set(queries.map(key)).size, queries.length);
  assert.notEqual(streamKey('http://x/a/api/logs?'), streamKey('http://x/b/api/logs?'));
});
