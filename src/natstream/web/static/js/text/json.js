// JSON in messages: recognised, coloured and indented. Pure.
//
// The text itself is indented, token by token, and not the values that it parses to. So large
// numbers keep their digits, and duplicate or odd keys (`__proto__`) stay as they are.

/** @typedef {{kind: 'key' | 'string' | 'number' | 'word' | 'mark' | 'space', start: number, end:
 * number}} Token */

/** @param {string} text */
export function looksLikeJson(text) {
  const first = text[0];
  if (first !== '{' && first !== '[') return false;
  const last = text[text.length - 1];
  return (first === '{' && last === '}') || (first === '[' && last === ']');
}

/** @param {string} text */
export function isJson(text) {
  if (!looksLikeJson(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Return the tokens of JSON text, which may be cut short.
 * @param {string} text @returns {Token[]} */
export function tokens(text) {
  /** @type {Token[]} */
  const found = [];
  const simple = /[\s]+|[{}[\],:]|[^\s{}[\],:"]+/y;
  for (let start = 0; start < text.length; ) {
    let end;
    /** @type {Token['kind']} */
    let kind;
    if (text[start] === '"') {
      end = endOfString(text, start);
      let next = end;
      while (next < text.length && /\s/.test(text[next])) next += 1;
      kind = text[next] === ':' ? 'key' : 'string';
    } else {
      simple.lastIndex = start;
      const piece = /** @type {RegExpExecArray} */ (simple.exec(text))[0];
      end = start + piece.length;
      kind = /^\s/.test(piece)
        ? 'space'
        : /^[{}[\],:]/.test(piece) ? 'mark' : /^[-\d]/.test(piece) ? 'number' : 'word';
    }
    found.push({ kind, start, end });
    start = end;
  }
  return found;
}

/** @param {string} text @param {number} start */
function endOfString(text, start) {
  for (let at = start + 1; ; ) {
    const quote = text.indexOf('"', at);
    if (quote < 0) return text.length;
    let slashes = 0;
    while (text[quote - 1 - slashes] === '\\') slashes += 1;
    if (slashes % 2 === 0) return quote + 1;
    at = quote + 1;
  }
}

/** Return valid JSON text with indents of two spaces. @param {string} text */
export function pretty(text) {
  const out = [];
  let depth = 0;
  let last = '';
  // Deeper levels share one indent, because 100,000 nested brackets would become gigabytes
  // otherwise.
  const indent = () => `\n${'  '.repeat(Math.min(depth, 40))}`;
  for (const token of tokens(text)) {
    if (token.kind === 'space') continue;
    const piece = text.slice(token.start, token.end);
    const closes = piece === '}' || piece === ']';
    if (closes) depth -= 1;
    if (closes ? last !== '{' && last !== '[' : last === '{' || last === '[' || last === ',') {
      out.push(indent());
    }
    out.push(piece === ':' ? ': ' : piece);
    if (piece === '{' || piece === '[') depth += 1;
    last = piece;
  }
  return out.join('');
}
