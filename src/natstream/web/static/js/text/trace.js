// The line of a stack trace that says what happened. Pure.

import { stripAnsi } from './ansi.js';

// Python puts it last, after the frames, and chained traces have one each. Java and others put it first.
const TELLING = /^[\w.$]*(?:Error|Exception|Warning|Exit|Interrupt|Fault|Timeout)\b/;
const PYTHON = /Traceback \(most recent call last\):\s*$/;
// The frames of a group of exceptions stand behind a bar.
const BEFORE = /^[\s|+]*/;

/**
 * Return the line to show beside the head of a folded trace; empty if the head says it itself.
 * @param {{message: string}[]} lines of the group, its head first
 */
export function tellingLine(lines) {
  const messages = lines.map(({ message }) => stripAnsi(message).trimEnd());
  const python = lastOfPython(messages);
  const first = python || (messages.find((message) => TELLING.test(message)) ?? '');
  return messages[0]?.includes(first) ? '' : first;
}

/**
 * Return the exception of the last traceback of Python, whatever its class is called; empty if there
 * is none. It is the first line after the frames, which are indented further than the traceback.
 * @param {string[]} messages
 */
function lastOfPython(messages) {
  let found = '';
  /** The indentation of the first traceback, since those of a group's exceptions stand within it. */
  let outer = Infinity;
  /** The indentation of the traceback whose frames are being read; -1 for none. */
  let edge = -1;
  for (const message of messages.flatMap((one) => one.split('\n'))) {
    const text = message.trimEnd();
    const before = BEFORE.exec(text)?.[0].length ?? 0;
    if (PYTHON.test(text)) {
      // A prefix of the logger stands before the traceback, and not before its frames.
      const at = /^(?:Exception Group )?Traceback /.test(text.slice(before)) ? before : 0;
      if (at > outer) continue;
      outer = edge = at;
    } else if (edge >= 0 && text.length > before && before <= edge) {
      found = text.slice(before);
      edge = -1;
    }
  }
  return found;
}
