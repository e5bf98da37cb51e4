// Conditions on the fields of a message, such as `status>=500`. Pure.
//
// The parameter `field` of /api/logs has the same form: a name, an operator and a value; a name
// alone (the field exists); or `!` and a name (it does not exist).

/** @typedef {'=' | '!=' | '<' | '<=' | '>' | '>=' | 'exists' | 'absent'} Operator */
/** @typedef {{name: string, operator: Operator, value: string}} Condition */

const FORM = /^(!?)([^=<>!]+)(?:(!=|[<>]=?|=)([^]*))?$/;

/** Return the condition that a value of the parameter `field` means; null if it means none.
 * @param {string} text @returns {Condition | null} */
export function parseCondition(text) {
  const match = FORM.exec(text.trim());
  if (!match) return null;
  const [, absent, name, operator, value = ''] = match;
  if (!name.trim() || (absent && operator) || (operator && !value.trim())) return null;
  const kind = absent ? 'absent' : operator ?? 'exists';
  return { name: name.trim(), operator: /** @type {Operator} */ (kind), value: value.trim() };
}

/** Return the condition as a value of the parameter `field`.
 * @param {Condition} condition */
export function formatCondition({ name, operator, value }) {
  if (operator === 'exists') return name;
  return operator === 'absent' ? `!${name}` : name + operator + value;
}

/** Add a condition, unless the query has it.
 * @param {Condition[]} conditions @param {Condition} condition */
export function addCondition(conditions, condition) {
  const text = formatCondition(condition);
  if (!conditions.some((other) => formatCondition(other) === text)) conditions.push(condition);
}

/**
 * Return whether a field meets a condition, as the service decides it.
 * @param {Condition} condition
 * @param {string | null} value of the field as text; null if the message has no such field
 */
export function meets({ operator, value: wanted }, value) {
  if (operator === 'exists') return value !== null;
  if (operator === 'absent') return value === null;
  if (value === null) return operator === '!=';
  if (operator === '=' || operator === '!=') {
    // A value may have a comma itself.
    const values = wanted.split(',').map((one) => one.trim()).filter(Boolean);
    const isOne = [wanted, ...values].some((one) => isEqual(value, one));
    return isOne === (operator === '=');
  }
  const [a, b] = [numberOf(value), numberOf(wanted)];
  if (a === null || b === null) return false;
  if (operator === '<') return a < b;
  if (operator === '<=') return a <= b;
  return operator === '>' ? a > b : a >= b;
}

/** @param {string} a @param {string} b */
function isEqual(a, b) {
  const [x, y] = [numberOf(a), numberOf(b)];
  return x !== null && y !== null ? x <= y && x >= y : folded(a) === folded(b);
}

/** Return a text without its case. Both steps are needed, for example for `STRASSE` and `Straße`.
 * @param {string} text */
const folded = (text) => text.toUpperCase().toLowerCase();

const NUMBER = /^[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:e[+-]?\d{1,3})?$/i;

/** Return the number that a text is as a whole, or null. Integers keep all their digits.
 * @param {string} text @returns {number | bigint | null} */
function numberOf(text) {
  if (!NUMBER.test(text)) return null;
  if (/^[+-]?\d{16,}$/.test(text)) return BigInt(text.replace('+', ''));
  const number = Number(text);
  return Number.isFinite(number) ? number : null;
}
