// Text with terminal escapes → plain text and its coloured parts. Pure.
//
// Only SGR sequences (colours and weight) have an effect. All other sequences are dropped. Of a
// sequence that is cut short only the introducer is dropped, so that the text after it is shown.
// "Hidden" text is shown as well. The work is linear in the length of the text, and bounded by
// `limit` and MAX_ESCAPES.

/** @typedef {import('../types.js').Span} Span */

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
    .replace(/([34]8:2):[^:;]*:(\d+:\d+:\d+)/g, '$1:$2')
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
    else if (code === 38 || code === 48) {
      const wide = codes[i + 1] === 2;
      const colour = wide ? rgb(codes.slice(i + 2, i + 5)) : palette(codes[i + 2]);
      if (codes[i + 1] !== 2 && codes[i + 1] !== 5) return;
      if (colour) look[code === 38 ? 'fg' : 'bg'] = colour;
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
