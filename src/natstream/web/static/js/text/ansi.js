// Text with terminal escapes → plain text and its coloured parts. Pure.
//
// Only SGR sequences (colours and weight) have an effect. All other sequences are dropped. Of a
// sequence that is cut short only the introducer is dropped, so that the text after it is shown.
// "Hidden" text is shown as well. The work is linear in the length of the text, and bounded by
// `limit` and MAX_ESCAPES.

import { mixed, readableOn } from './contrast.js';

/** @typedef {import('../types.js').Span} Span */
/** @typedef {import('./contrast.js').Rgb} Rgb */

// CSI; OSC; DCS, SOS, PM, APC; two characters; a lone ESC; their 8-bit forms.
const ESCAPE =
  // eslint-disable-next-line no-control-regex
  /\x1b(?:\[([0-9:;<=>?]*)[ -/]*([@-~])|\][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)|[PX^_][^\x1b\x9c]*(?:\x1b\\|\x9c)|[ -/]*[0-~])?|\x9b([0-9:;<=>?]*)[ -/]*([@-~])|[\x80-\x9f]/g;
// eslint-disable-next-line no-control-regex
const ANY = /[\x1b\x80-\x9f]/;

// A line with more escapes is made to slow the page. The rest of it is shown without colours.
const MAX_ESCAPES = 1000;

/** @typedef {{fg: string, bg: string, bold: boolean, dim: boolean, italic: boolean,
 *    underline: boolean, strike: boolean, inverse: boolean}} Look */

/** @returns {Look} */
const plain = () => ({
  fg: '', bg: '', bold: false, dim: false, italic: false,
  underline: false, strike: false, inverse: false,
});

/**
 * @param {string} message
 * @param {number} [limit] the most visible characters to return
 * @returns {{text: string, spans: Span[], rest: boolean}} `rest`: the text was cut
 */
export function parseAnsi(message, limit = Infinity) {
  if (!ANY.test(message)) {
    const rest = message.length > limit;
    return { text: rest ? message.slice(0, limit) : message, spans: [], rest };
  }
  const look = plain();
  /** @type {Span[]} */
  const spans = [];
  let text = '';
  let position = 0;
  let escapes = 0;
  /** @param {string} piece @returns {boolean} whether it fits */
  const append = (piece) => {
    const start = text.length;
    text += piece.slice(0, limit - start);
    const style = styleOf(look);
    if (style && text.length > start) spans.push({ start, end: text.length, ...style });
    return start + piece.length <= limit;
  };
  ESCAPE.lastIndex = 0;
  for (let match; (match = ESCAPE.exec(message)); ) {
    if (!append(message.slice(position, match.index))) return { text, spans, rest: true };
    position = ESCAPE.lastIndex;
    if ((match[2] ?? match[4]) === 'm' && ++escapes <= MAX_ESCAPES) {
      applySgr(look, match[2] ? match[1] : match[3]);
    }
  }
  const fits = append(message.slice(position));
  return { text, spans, rest: !fits };
}

/** Return a message without its escape sequences. @param {string} message */
export const stripAnsi = (message) => (ANY.test(message) ? message.replace(ESCAPE, '') : message);

/** @param {Look} look @param {string} parameters */
function applySgr(look, parameters) {
  if (/[<=>?]/.test(parameters)) return; // a private sequence is not SGR
  // The standard writes sub-parameters with colons: `38:2::r:g:b`, `4:3` (a curly underline).
  const codes = parameters
    .replace(/([345]8:2):[^:;]*:(\d+:\d+:\d+)/g, '$1:$2')
    .replace(/\b4:(\d)/g, (_, style) => (style === '0' ? '24' : '4'))
    .split(/[;:]/)
    .map(Number);
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (code === 0) Object.assign(look, plain());
    else if (code === 1) look.bold = true;
    else if (code === 2) look.dim = true;
    else if (code === 3) look.italic = true;
    else if (code === 4) look.underline = true;
    else if (code === 7) look.inverse = true;
    else if (code === 9) look.strike = true;
    else if (code === 22) look.bold = look.dim = false;
    else if (code === 23) look.italic = false;
    else if (code === 24) look.underline = false;
    else if (code === 27) look.inverse = false;
    else if (code === 29) look.strike = false;
    else if (code >= 30 && code <= 37) look.fg = `${code - 30}`;
    else if (code >= 90 && code <= 97) look.fg = `${code - 82}`;
    else if (code >= 40 && code <= 47) look.bg = `${code - 40}`;
    else if (code >= 100 && code <= 107) look.bg = `${code - 92}`;
    else if (code === 39) look.fg = '';
    else if (code === 49) look.bg = '';
    else if (code === 38 || code === 48 || code === 58) {
      const wide = codes[i + 1] === 2;
      const colour = wide ? rgb(codes.slice(i + 2, i + 5)) : palette(codes[i + 2]);
      if (codes[i + 1] !== 2 && codes[i + 1] !== 5) return;
      // 58 is the colour of the underline, which is that of its text here.
      if (colour && code !== 58) look[code === 38 ? 'fg' : 'bg'] = colour;
      i += wide ? 4 : 2;
    }
  }
}

/** @param {number} n @returns {string} one of the 16 colours by its number, any other as rgb() */
function palette(n) {
  if (!(n >= 0 && n <= 255)) return '';
  if (n < 16) return `${n}`;
  if (n >= 232) return rgb(new Array(3).fill(8 + (n - 232) * 10));
  const steps = [0, 95, 135, 175, 215, 255];
  const cube = n - 16;
  return rgb([steps[Math.floor(cube / 36)], steps[Math.floor(cube / 6) % 6], steps[cube % 6]]);
}

/** @param {number[]} parts */
function rgb(parts) {
  const valid = parts.length === 3 && parts.every((part) => part >= 0 && part <= 255);
  return valid ? `rgb(${parts.join(' ')})` : '';
}

/** @param {Look} look @returns {{className: string, fg?: string, bg?: string} | null} */
function styleOf(look) {
  const classes = [];
  if (look.bold) classes.push('bold');
  if (look.dim) classes.push('dim');
  if (look.italic) classes.push('italic');
  if (look.underline) classes.push('underline');
  if (look.strike) classes.push('strike');
  if (look.inverse) classes.push('inverse');
  /** @type {{className: string, fg?: string, bg?: string}} */
  const style = { className: '' };
  for (const side of /** @type {const} */ (['fg', 'bg'])) {
    if (look[side].startsWith('rgb')) style[side] = look[side];
    else if (look[side]) classes.push(`${side}${look[side]}`);
  }
  style.className = classes.join(' ');
  return style.className || style.fg || style.bg ? style : null;
}

/** The 16 colours by their numbers, as most terminals have them. @type {readonly Rgb[]} */
const BASIC = [
  [0, 0, 0], [179, 38, 30], [29, 107, 42], [176, 122, 0], [36, 85, 164], [138, 45, 134], [13, 106, 106],
  [200, 200, 196], [111, 113, 106], [229, 83, 75], [76, 175, 94], [240, 192, 74], [91, 140, 255],
  [208, 112, 204], [47, 181, 181], [255, 255, 255],
];
/** The usual colour of text in both themes, and of all grounds that a line may have the one that is
 * the nearest to it: that of a chosen line (`--ink` and `--chosen` in app.css).
 * @type {readonly {ink: Rgb, ground: Rgb}[]} */
export const THEMES = [
  { ink: [27, 28, 26], ground: [223, 241, 238] }, { ink: [228, 228, 223], ground: [23, 48, 46] },
];
// The share of its ground that dim text gets.
const DIM = 0.4;

/**
 * Return the colours to show a part in, for the light and the dark theme; null if the part has
 * none. Text is moved until it can be read, on the part's own ground or on every ground of a line.
 * @param {{className: string, fg?: string, bg?: string}} part
 * @returns {{text: [Rgb, Rgb], ground: [Rgb, Rgb] | null} | null}
 */
export function coloursOf({ className, fg = '', bg = '' }) {
  const names = className.split(' ');
  const text = colourNamed(fg, names, 'fg');
  const back = colourNamed(bg, names, 'bg');
  const isDim = names.includes('dim');
  const isInverse = names.includes('inverse');
  if (!text && !back && !isDim && !isInverse) return null;
  const [light, dark] = THEMES.map(({ ink, ground }) => {
    const [front, behind] = isInverse
      ? [back ?? ground, text ?? ink]
      : [text ?? ink, back ?? ground];
    return { text: readableOn(isDim ? mixed(front, behind, DIM) : front, behind), ground: behind };
  });
  return {
    text: [light.text, dark.text],
    ground: back || isInverse ? [light.ground, dark.ground] : null,
  };
}

/** @param {string} colour as `rgb()`; empty if it is none or one of the 16
 * @param {string[]} names of the part's classes @param {'fg' | 'bg'} side
 * @returns {Rgb | undefined} */
function colourNamed(colour, names, side) {
  if (colour) {
    const [red, green, blue] = colour.slice(4, -1).split(' ').map(Number);
    return [red, green, blue];
  }
  const name = names.find((one) => one.startsWith(side));
  return name === undefined ? undefined : BASIC[Number(name.slice(2))];
}
