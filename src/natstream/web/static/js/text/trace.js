// The line of a stack trace that says what happened. Pure.

// Python puts it last, and chained traces have one each. Java and others put it first.
const TELLING = /^[\w.$]*(?:Error|Exception|Warning|Exit|Interrupt|Fault|Timeout)\b/;

/**
 * Return the line to show beside the head of a folded trace; empty if the head says it itself.
 * @param {{message: string}[]} lines of the group, its head first
 */
export function tellingLine(lines) {
  const messages = lines.map(({ message }) => message);
  const tells = (/** @type {string} */ message) => TELLING.test(message);
  if (messages.slice(0, 2).some((message) => /Traceback \(/.test(message))) {
    return messages.findLast(tells) ?? '';
  }
  const first = messages.find(tells) ?? '';
  return messages[0]?.includes(first) ? '' : first;
}
