// The line of a stack trace that says what happened. Pure.

// Python puts it last, and chained traces have one each.
const TELLING = /^[\w.]*(?:Error|Exception|Warning|Exit|Interrupt|Fault|Timeout)\b/;

/**
 * Return the line to show beside the head of a folded trace; empty if the head says it itself.
 * @param {{message: string}[]} lines of the group, its head first
 */
export function tellingLine(lines) {
  if (!/^\s*Traceback \(/.test(lines[0]?.message ?? '') && !/Traceback \(/.test(lines[1]?.message ?? '')) return '';
  return lines.findLast(({ message }) => TELLING.test(message))?.message ?? '';
}
