import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Leaving } from '../../../../src/natstream/web/static/js/list/leaving.js';

function hand() {
  const scroller = new EventTarget();
  let left = 0;
  const leaving = new Leaving(scroller, () => { left += 1; });
  const send = (type, more) => scroller.dispatchEvent(Object.assign(new Event(type), more));
  return { leaving, send, left: () => left };
}

test('slow moves up add up, also if the list returns to its end between them', () => {
  const { leaving, left } = hand();
  leaving.moved(-1, 1);
  assert.equal(left(), 0);
  leaving.moved(-1, 1);
  assert.equal(left(), 1);
});

test('a list that a larger screen or a smaller content moves is still at its end', () => {
  const { leaving, left } = hand();
  for (let i = 0; i < 9; i++) leaving.moved(-300, 0.6);
  leaving.moved(-1, 1);
  leaving.moved(1, 1);
  leaving.moved(-1, 1);
  assert.equal(left(), 0);
});

test('a finger or a pen that draws earlier lines onto the screen leaves the end, a tap does not', () => {
  const { send, left } = hand();
  send('touchstart', { touches: [{ clientY: 100 }] });
  send('touchmove', { touches: [{ clientY: 106 }] });
  send('touchmove', { touches: [{ clientY: 60 }] });
  send('touchmove', { touches: [{ clientY: 120 }, { clientY: 10 }] });
  assert.equal(left(), 0);
  send('touchmove', { touches: [{ clientY: 109 }] });
  assert.equal(left(), 1);
  send('pointerdown', { clientY: 100 });
  send('pointermove', { pointerType: 'pen', buttons: 1, clientY: 110 });
  send('pointermove', { pointerType: 'pen', buttons: 0, clientY: 110 });
  send('pointermove', { pointerType: 'mouse', buttons: 1, clientY: 110 });
  assert.equal(left(), 2);
});
