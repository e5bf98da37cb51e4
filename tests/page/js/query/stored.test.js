import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { suggestedQueries } from '../../../../src/natstream/web/static/js/query/completion.js';
import {
  MOST_VIEWS, deleteView, keepView, recentQueries, rememberQuery, renameView, saneViews, views,
} from '../../../../src/natstream/web/static/js/query/stored.js';

let stored = new Map();
let isFull = false;

beforeEach(() => {
  stored = new Map();
  isFull = false;
  globalThis.localStorage = {
    getItem: (key) => stored.get(key) ?? null,
    setItem: (key, value) => {
      if (isFull) throw new Error('full');
      stored.set(key, value);
    },
  };
});

test('views are kept, replaced, renamed and deleted by their names', () => {
  assert.equal(keepView('  errors   of web ', 'app=web&level=error'), '');
  assert.equal(keepView('all', ''), '');
  assert.equal(keepView('errors of web', 'app=web&min_level=error'), '');
  assert.deepEqual(views(), [
    { name: 'all', search: '' }, { name: 'errors of web', search: 'app=web&min_level=error' },
  ]);
  assert.match(renameView('all', 'errors of web'), /another view/);
  assert.match(renameView('all', ' '), /needs a name/);
  assert.equal(renameView('all', 'zoo'), '');
  deleteView('errors of web');
  assert.deepEqual(views().map(({ name }) => name), ['zoo']);
  assert.match(keepView('  ', 'app=web'), /needs a name/);
});

test('views are bounded, and the browser may not keep them', () => {
  for (let n = 0; n < MOST_VIEWS; n++) assert.equal(keepView(`view ${n}`, ''), '');
  assert.match(keepView('one more', ''), /Delete one first/);
  assert.equal(keepView('view 7', 'app=web'), '');
  assert.equal(views().length, MOST_VIEWS);
  assert.ok(views().every(({ name }) => name.length <= 60));
  isFull = true;
  assert.match(keepView('view 7', ''), /does not keep views/);
});

test('a view holds parameters of the page alone, and never a token', () => {
  assert.deepEqual(saneViews([
    null, 7, 'x', {}, { name: 'a' }, { name: '', search: '' }, { name: 'long', search: 'q='.padEnd(20_000, 'x') },
    { name: 'token', search: 'app=web&token=secret' }, { name: 'link', search: 'link=secret' },
    { name: 'fine', search: 'not_app=web&show=all&json=raw&cols=a,b' },
  ]).map(({ name }) => name), ['fine']);
  stored.set('natstream views', '{"not": "a list"}');
  assert.deepEqual(views(), []);
  stored.set('natstream views', 'not JSON');
  assert.deepEqual(views(), []);
});

test('the queries typed last are remembered once each, the newest first', () => {
  for (const text of ['app:a,b x', 'timeout', '', '  ', 'x app:b,a', 'app:', 'timeout ']) rememberQuery(text);
  assert.deepEqual(recentQueries(), ['timeout', 'x app:b,a']);
  for (let n = 0; n < 50; n++) rememberQuery(`text${n}`);
  assert.equal(recentQueries().length, 20);
  assert.equal(recentQueries()[0], 'text49');
  rememberQuery('x'.repeat(20_000));
  assert.equal(recentQueries()[0], 'text49');
});

test('queries that begin like the text in the field are suggested', () => {
  const recent = ['timeout app:web', 'Time', 'app:web', 'time 3', 'time 4', 'time 5'];
  const words = (text) => suggestedQueries(text, recent).map(({ word }) => word);
  assert.deepEqual(words('time'), ['timeout app:web', 'time 3', 'time 4']);
  assert.deepEqual(words(''), recent);
  assert.deepEqual(words('app:web'), []);
});
