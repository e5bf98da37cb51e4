import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wordsOf } from '../../../../src/natstream/web/static/js/panels/bell.js';

const line = (message, app = 'web') => ({ message, app });

test('a notification has the number of lines, the query and the first line', () => {
  assert.deepEqual(wordsOf(line('panic: boom'), 3, 'app:web panic'),
    { title: '3 lines of app:web panic · natstream', body: 'web: panic: boom' });
  assert.equal(wordsOf(line('x'), 1, '').title, '1 line · natstream');
});

test('the text of a line is one short line without control characters', () => {
  const { title, body } = wordsOf(line('\u001b[31mred\u001b[0m\nsecond\u202e\u0007 ' + 'x'.repeat(9_000), 'a\u202eb'), 1, 'q'.repeat(500));
  assert.match(body, /red second/);
  assert.doesNotMatch(body + title, /[\u0000-\u001f\u202e]/);
  assert.ok(body.length <= 160 && title.length <= 100, body);
});
