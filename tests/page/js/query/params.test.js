import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatQuery } from '../../../../src/natstream/web/static/js/query/language.js';
import { fromParams } from '../../../../src/natstream/web/static/js/query/params.js';

test('an address is read as the service reads it, or has an error', () => {
  const read = (text) => fromParams(new URLSearchParams(text), ['show']);
  const query = read('app=web,api&level=WARN&min_level=warning&since=10m&q=/a/&not=b&show=all&tail=10');
  assert.equal(query.error, '');
  assert.equal(formatQuery(query), 'app:web,api level:warn level>=warn since:10m /a/ -b');
  for (const [text, error] of [
    ['appp=web', /“appp”, which filters nothing/], ['min_level=loud', /one of trace/],
    ['q=', /“q” without a value/], ['q=%20', /“q” without/], ['app=,,', /“app” without/],
    ['min_level=warn&min_level=debug', /“min_level” twice/], ['since=1h&since=2h', /“since” twice/],
    ['app=web&foo=bar', /“foo”/],
  ]) assert.match(read(text).error, error, text);
});
