import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { coloursOf, parseAnsi, THEMES } from '../../../../src/natstream/web/static/js/text/ansi.js';
import { contrast, LEAST_CONTRAST, readableOn } from '../../../../src/natstream/web/static/js/text/contrast.js';

const ESC = '\x1b';
const CSS = readFileSync(new URL('../../../../src/natstream/web/static/app.css', import.meta.url), 'utf8');

/** The colours of the theme in app.css: [light, dark] of each name. */
const NAMED = new Map([...CSS.matchAll(/--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)/g)].map(
  ([, name, ...both]) => [name, both.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)))]));
/** Every ground that a message may stand on. */
const GROUNDS = ['ground', 'surface', 'sunk', 'hover', 'chosen', 'error-ground', 'warn-ground'].map((name) => NAMED.get(name));

/** The least contrast of a message's parts, in both themes and on all grounds. */
function worst(message) {
  let least = Infinity;
  for (const span of parseAnsi(message).spans) {
    const colours = coloursOf(span);
    for (const theme of [0, 1]) {
      const text = colours?.text[theme] ?? NAMED.get('ink')[theme];
      const grounds = colours?.ground ? [colours.ground[theme]] : GROUNDS.map((both) => both[theme]);
      for (const ground of grounds) least = Math.min(least, contrast(text, ground));
    }
  }
  return least;
}
const ok = (codes) => {
  const least = worst(`${ESC}[${codes}mx`);
  assert.ok(least >= LEAST_CONTRAST && least < Infinity, `${codes}: ${least}`);
};

test('the contrast of two colours is that of WCAG', () => {
  assert.equal(contrast([0, 0, 0], [255, 255, 255]), 21);
  assert.equal(contrast([119, 119, 119], [255, 255, 255]).toFixed(2), '4.48');
});

test('a colour that can be read stays, and any other is moved to one that can', () => {
  assert.deepEqual(readableOn([0, 0, 0], [255, 255, 255]), [0, 0, 0]);
  const [red, green, blue] = readableOn([255, 128, 128], [255, 255, 255]);
  assert.ok(red > green && green === blue, 'it keeps its hue');
});

test('the themes of the escapes are those of the page', () => {
  assert.deepEqual(THEMES, [0, 1].map((theme) => ({ ink: NAMED.get('ink')[theme], ground: NAMED.get('chosen')[theme] })));
});

test('every one of the 256 colours can be read in both themes, as text and as ground', () => {
  for (let n = 0; n < 256; n++) {
    for (const codes of [`38;5;${n}`, `48;5;${n}`, `7;38;5;${n}`, `7;48;5;${n}`, `2;38;5;${n}`, `1;38;5;${n}`, `8;38;5;${n}`]) ok(codes);
  }
});

test('every pair of the 256 colours can be read, dim and inverse as well', () => {
  for (let text = 0; text < 256; text++) {
    for (let ground = 0; ground < 256; ground++) {
      ok(`${['', '2;', '7;', '2;7;', '8;'][(text + ground) % 5]}38;5;${text};48;5;${ground}`);
    }
  }
});

test('the 16 colours can be read, in every pair', () => {
  const fronts = [...Array(8).keys()].flatMap((n) => [30 + n, 90 + n]);
  for (const front of [39, ...fronts]) {
    for (const back of [49, ...fronts.map((n) => n + 10)]) {
      for (const look of ['', '1;', '2;', '7;', '2;7;', '1;2;', '8;']) {
        if (front !== 39 || back !== 49) ok(`${look}${front};${back}`);
      }
    }
  }
});

test('true colours can be read, over the whole cube', () => {
  const steps = [0, 1, 64, 117, 118, 119, 128, 187, 188, 254, 255];
  const colours = steps.flatMap((r) => steps.flatMap((g) => steps.map((b) => `2;${r};${g};${b}`)));
  colours.forEach((colour, index) => {
    for (const look of ['', '2;', '7;']) ok(`${look}38;${colour}`);
    for (const step of [1, 37, 500]) ok(`38;${colour};48;${colours[(index * 7 + step) % colours.length]}`);
  });
});

test('inverse text changes places with its ground', () => {
  const [span] = parseAnsi(`${ESC}[7;97;44mx`).spans;
  const colours = coloursOf(span);
  assert.deepEqual(colours.ground, [[255, 255, 255], [255, 255, 255]]);
  assert.ok(colours.text[0][2] > colours.text[0][0], 'the text is blue');
});

test('a part without colours has none, and its weights stay classes', () => {
  assert.equal(coloursOf(parseAnsi(`${ESC}[1;3;4mx`).spans[0]), null);
  assert.equal(coloursOf({ className: 'j-key' }), null);
});

test('the colour of an underline changes nothing else', () => {
  assert.deepEqual(parseAnsi(`${ESC}[4;58;5;1mx`).spans, [{ start: 0, end: 1, className: 'underline' }]);
  assert.deepEqual(parseAnsi(`${ESC}[58:2::1:2:3;31mx`).spans, [{ start: 0, end: 1, className: 'fg1' }]);
});
