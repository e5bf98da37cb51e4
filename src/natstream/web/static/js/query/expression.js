// Regular expressions in the browser: escaping them, and bounding their cost. Pure.
//
// The service's engine takes linear time. The browser's engine tries every way to match: it takes
// cubic time for `.*.*!`, and exponential time for `((\w+))+!`. The page must bound that cost,
// because a link with an expression may come from a stranger and a running search cannot be
// stopped.

// This many steps take some tenths of a second.
const MOST_STEPS = 3e8;
const MOST_CHARACTERS = 10_000;
// Two unbounded repetitions take cubic time. With three, lines of usual length would take too long.
const MOST_UNBOUNDED = 2;

const QUANTIFIER = /[*+?]|\{(\d+)(,?)(\d*)\}/y;

/** The number of ways in which a part may match: `ways`, times the text's length for each of
 * `unbounded`.
 * @typedef {{ways: number, unbounded: number}} Choice */

/** @returns {Choice} */
const one = () => ({ ways: 1, unbounded: 0 });
/** The cost of `ab`. @param {Choice} a @param {Choice} b @returns {Choice} */
const both = (a, b) => ({ ways: a.ways * b.ways, unbounded: a.unbounded + b.unbounded });
/** The cost of `a|b`. @param {Choice} a @param {Choice} b @returns {Choice} */
const either = (a, b) => ({ ways: a.ways + b.ways, unbounded: Math.max(a.unbounded, b.unbounded) });

/** Return the text as an expression that matches it. @param {string} text */
export const escapeRegex = (text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');

/**
 * Return the texts of an expression that finds one of some texts and is written as `escapeRegex` writes
 * it, such as `a|b\\.c`. Return none for any other expression.
 * @param {string} pattern @returns {string[]}
 */
export function literalsOf(pattern) {
  const parts = (pattern.match(/(?:\\[^]|[^\\|])+/g) ?? []).map((part) => part.replace(/\\([^])/g, '$1'));
  return parts.map(escapeRegex).join('|') === pattern ? parts : [];
}

/**
 * Return how many characters of a text may be searched for a pattern.
 * @param {string} pattern @returns {number} 0 if the pattern is too risky for any text
 */
export function reachOf(pattern) {
  /** The open groups: the cost of the part before the last `|` in each, and of the part after it.
   * @type {{before: Choice | null, here: Choice}[]} */
  const open = [{ before: null, here: one() }];
  const close = () => {
    const { before, here } = open.pop() ?? { before: null, here: one() };
    return before ? either(before, here) : here;
  };
  for (let index = 0; index < pattern.length; ) {
    const character = pattern[index];
    const group = open[open.length - 1];
    let part = one();
    if (character === '(') {
      open.push({ before: null, here: one() });
      index += pattern[index + 1] === '?' ? 2 : 1;
      continue;
    }
    if (character === '|') {
      group.before = group.before ? either(group.before, group.here) : group.here;
      group.here = one();
      index += 1;
      continue;
    }
    if (character === ')' && open.length > 1) part = close();
    // A back-reference has no bound.
    if (character === '\\' && /[1-9k]/.test(pattern[index + 1])) return 0;
    if (character === '[') index = endOfClass(pattern, index);
    else index += character === '\\' ? 2 : 1;

    QUANTIFIER.lastIndex = index;
    const match = QUANTIFIER.exec(pattern);
    if (match) {
      const [quantifier, least, comma, most] = match;
      index += quantifier.length;
      if (pattern[index] === '?') index += 1; // a lazy quantifier has as many ways
      if (quantifier === '?') part = either(part, one());
      // To repeat a part with choices takes exponential time.
      else if (part.ways > 1 || part.unbounded) return 0;
      else if (!least || (comma && !most)) part = { ways: 1, unbounded: 1 };
      else if (comma) part = { ways: Math.max(1, Number(most) - Number(least) + 1), unbounded: 0 };
    }
    const last = open[open.length - 1];
    last.here = both(last.here, part);
  }
  let whole = close();
  while (open.length) whole = both(whole, close());
  if (whole.unbounded > MOST_UNBOUNDED) return 0;
  const reach = Math.floor((MOST_STEPS / whole.ways) ** (1 / (whole.unbounded + 1)));
  return Math.min(MOST_CHARACTERS, reach);
}

/** @param {string} pattern @param {number} start of `[` */
function endOfClass(pattern, start) {
  let index = start + 1;
  while (index < pattern.length && pattern[index] !== ']') index += pattern[index] === '\\' ? 2 : 1;
  return index + 1;
}
