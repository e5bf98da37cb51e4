import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Intake } from '../../../../src/natstream/web/static/js/stream/intake.js';
import { toEvent } from '../../../../src/natstream/web/static/js/text/entry.js';

test('the event of a line says whether the line is stored', () => {
  const intake = new Intake();
  intake.begin(0);
  const { entries } = intake.accept([
    { id: '1-a-1', event: { message: 'x', persistent: true } }, { id: '1-a-2', event: { message: 'y' } },
  ]);
  assert.deepEqual(entries.map((entry) => toEvent(entry).persistent), [true, false]);
});
