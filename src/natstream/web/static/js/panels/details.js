// The panel with everything that the page knows about one line, and with actions for it.

import { h, hint, icon, timeSince } from '../dom.js';
import { parseAnsi, stripAnsi } from '../text/ansi.js';
import { fieldsOf } from '../text/fields.js';
import { isJson, pretty, tokens } from '../text/json.js';
import { structureOf } from '../text/structure.js';
import { excerpt, paint } from '../list/paint.js';
import { levelOrigin } from './level_origin.js';
import { revealed } from '../text/readable.js';
import { likenessOf } from '../query/likeness.js';
import { LINE_FIELDS } from '../query/query.js';
import { noticeText, toEvent } from '../text/entry.js';

/** @typedef {import('../types.js').Entry} Entry */
/** @typedef {import('../query/query.js').Field} Field */

// A message of this length is shown without a noticeable pause. A longer one is cut, but copied
// whole.
const LONGEST = 200_000;
// The service refuses longer values, and no table shows them.
const LONGEST_ASKED = 300;
const LONGEST_SHOWN = 1_000;
// As many coloured parts as the browser can lay out in a frame or two.
const MOST_SPANS = 5_000;

/** @typedef {import('../query/matching.js').Matcher} Matcher */
/** @typedef {(name: string, value: string) => void} FieldAction */
/**
 * @typedef {object} Actions
 * @property {(field: Field, value: string) => void} only   show only lines with a value
 * @property {(field: Field, value: string) => void} exclude   hide lines with a value
 * @property {(text: import('../query/query.js').Text) => void} hide   hide lines with a text
 * @property {FieldAction} onlyField   show only lines whose field has this value
 * @property {FieldAction} hideField   hide these lines
 * @property {(name: string) => void} addColumn   show a field as a column
 * @property {(entry: Entry) => void} context   show the line among its neighbours
 * @property {() => void} changes   show what has changed since the last deploy
 * @property {(entry: Entry) => Entry[]} group   return the lines of the line's group
 * @property {(step: 1 | -1) => void} step   choose the next or previous line
 * @property {(id: string) => string} link   return an address that shows the line
 * @property {() => import('../text/time.js').Clock} clock   return the clock of the list
 * @property {() => Matcher | null} matcher   what to mark in the message
 * @property {() => void} opened
 * @property {(hadFocus: boolean) => void} closed
 */

export class Details {
  /** The id of the line in the panel; empty if there is none, or if it is a notice. */
  id = '';
  /** The message of the line. */
  #message = '';

  /** @param {HTMLElement} drawer @param {Actions} actions */
  constructor(drawer, actions) {
    this.drawer = drawer;
    this.actions = actions;
  }

  get isOpen() {
    return !this.drawer.hidden;
  }

  /** @param {Entry} entry */
  open(entry) {
    const { drawer, actions } = this;
    actions.opened();
    this.id = entry.id;
    this.#message = entry.message;
    drawer.replaceChildren(
      h('div', { class: 'top' },
        h('h2', {}, entry.note ? 'A notice of the service' : 'Line'),
        button('up', 'Previous line', () => actions.step(-1)),
        button('down', 'Next line', () => actions.step(1)),
        button('close', 'Close (esc)', () => this.close()),
      ),
      ...(entry.note ? noticeParts(entry, actions.clock()) : lineParts(entry, actions)),
    );
    const wasOpen = this.isOpen;
    drawer.hidden = false;
    this.#showMark();
    if (wasOpen) return;
    // The reader may have begun to type since the click, or opened a menu.
    const { activeElement: active } = document;
    if (!active || active.matches('body, .lines')) drawer.focus({ preventScroll: true });
  }

  /** Mark what the query searches for now. */
  mark() {
    const blocks = blocksOf(this.#message, this.actions.matcher());
    for (const name of /** @type {const} */ (['message', 'json'])) {
      this.drawer.querySelector(`pre.of-message.${name}`)?.replaceWith(blocks[name] ?? '');
    }
    this.#showMark();
  }

  /** Scroll to the first match in the message. */
  #showMark() {
    const mark = this.drawer.querySelector('.message mark');
    const block = mark?.closest('.message');
    if (!mark || !block) return;
    const { top } = block.getBoundingClientRect();
    block.scrollTop += mark.getBoundingClientRect().top - top - block.clientHeight / 3;
  }

  close() {
    if (!this.isOpen) return;
    const hadFocus = this.drawer.contains(document.activeElement);
    this.id = '';
    this.drawer.hidden = true;
    this.drawer.replaceChildren();
    this.actions.closed(hadFocus);
  }
}

/** @param {Entry} entry @param {import('../text/time.js').Clock} clock */
function noticeParts(entry, clock) {
  return [h('p', {}, noticeText(entry, clock)), fields([['time', timeOf(entry)]])];
}

/** @param {Entry} entry @param {Actions} actions */
function lineParts(entry, actions) {
  const likeness = likenessOf(entry.message);
  const group = actions.group(entry);
  const origin = h('div', { class: 'origin' });
  const { message, json } = blocksOf(entry.message, actions.matcher());
  const rows = LINE_FIELDS.filter((field) => field !== 'type' || entry.type)
    .map((field) => /** @type {const} */ ([field, entry[field]]))
    .filter(([, value]) => value !== '');
  return [
    h('div', { class: 'actions' },
      entry.id ? action('context', 'In context', () => actions.context(entry)) : null,
      entry.kind === 'release' || entry.kind === 'deploy'
        ? action('changes', 'What has changed', () => actions.changes()) : null,
      group.length > 1
        ? action('copy', `Copy all ${group.length} lines`, () => copy(group.map((line) => stripAnsi(line.message)).join('\n'), 'Lines'))
        : null,
      action('copy', 'Copy message', () => copy(stripAnsi(entry.message), 'Message')),
      action('copy', 'Copy JSON', () => copy(JSON.stringify(toEvent(entry)), 'JSON')),
      entry.id ? action('link', 'Copy link', () => copy(actions.link(entry.id), 'Link')) : null,
      entry.machine
        ? action('only', 'Only this machine', () => actions.only('machine', entry.machine))
        : null,
      likeness ? action('hide', 'Hide lines like this', () => actions.hide(likeness)) : null,
    ),
    fields([
      ['time', timeOf(entry)],
      ...rows.map(([field, value]) => /** @type {[string, Node]} */ ([
        field,
        h('span', {},
          h('span', { class: 'value' }, revealed(value)), ' ',
          word('only', `Only ${field} ${revealed(value)}`, () => actions.only(field, value)), ' ',
          word('hide', `Hide ${field} ${revealed(value)}`, () => actions.exclude(field, value)),
          ...(field === 'level' ? [origin] : []),
        ),
      ])),
      ...(entry.provider ? [/** @type {[string, string]} */ (['provider', revealed(entry.provider)])] : []),
      ['id', entry.id || 'none, because no stream resumes from an earlier line'],
    ]),
    h('h3', {}, 'Message'),
    message,
    ...fieldParts(stripAnsi(entry.message), actions),
    ...(json ? [h('h3', {}, 'As JSON'), json] : []),
    ...(entry.id && entry.machine ? [machinePart(entry)] : []),
    h('h3', {}, 'Event, as received'),
    jsonBlock(JSON.stringify(toEvent(entry))),
    entry.id ? rawPart(entry, origin) : '',
  ];
}

/** Build the table of the message's fields; nothing if it has none.
 * @param {string} message @param {Actions} actions */
function fieldParts(message, { onlyField, hideField, addColumn }) {
  const found = [...fieldsOf(message)];
  if (!found.length) return [];
  return [
    h('h3', {}, 'Fields'),
    h('table', { class: 'fields' }, ...found.map(([name, value]) => {
      const label = `${revealed(name)} ${revealed(value.slice(0, 80))}`;
      const isAskable = value !== '' && value.length <= LONGEST_ASKED;
      return h('tr', {},
        h('th', { scope: 'row' }, revealed(name)),
        h('td', { class: 'value' }, revealed(value.slice(0, LONGEST_SHOWN))),
        h('td', {},
          isAskable ? word('only', `Only ${label}`, () => onlyField(name, value)) : null,
          isAskable ? word('hide', `Hide ${label}`, () => hideField(name, value)) : null,
          word('as a column', `${revealed(name)} as a column`, () => addColumn(name)),
        ));
    })),
  ];
}

/**
 * Build the part with the bytes that the service received. It stays empty if the service no longer
 * has them, or if this reader may not see them.
 * @param {Entry} entry @param {HTMLElement} origin gets a sentence about the line's level
 */
function rawPart(entry, origin) {
  const part = h('div');
  const show = async () => {
    const response = await fetch(`api/raw?${new URLSearchParams({ id: entry.id })}`);
    const text = response.ok ? (await response.text()).trim() : '{}';
    origin.textContent = levelOrigin(entry, text);
    if (text !== '{}') part.append(h('h3', {}, 'As it was sent'), jsonBlock(text));
  };
  show().catch(() => {}); // the panel is complete without this part
  return part;
}

/** Build the part about the line's machine. It stays empty if the service does not know it.
 * @param {Entry} entry */
function machinePart(entry) {
  const part = h('div');
  const show = async () => {
    const response = await fetch(`api/machine?${new URLSearchParams({ id: entry.id })}`);
    const { machine } = response.ok ? await response.json() : { machine: null };
    if (!machine) return;
    const rows = ['name', 'state', 'region', 'group', 'release', 'image']
      .filter((name) => machine[name])
      .map((name) => /** @type {[string, string]} */ ([name, revealed(String(machine[name]))]));
    part.append(
      h('h3', {}, 'Machine, as Fly described it ', timeSince(machine.seen_ms)),
      fields(rows),
    );
  };
  show().catch(() => {}); // as in rawPart
  return part;
}

/** Build the blocks that show a message, and the JSON in it.
 * @param {string} message @param {Matcher | null} matcher */
function blocksOf(message, matcher) {
  const text = stripAnsi(message).trim();
  const json = structureOf(text)?.json ?? (isJson(text) ? text : '');
  const blocks = {
    message: messageBlock(message, matcher), json: json ? jsonBlock(json, matcher) : null,
  };
  for (const block of Object.values(blocks)) block?.classList.add('of-message');
  return blocks;
}

/** @param {string} message @param {Matcher | null} matcher */
function messageBlock(message, matcher) {
  const block = h('pre', { class: 'message', dir: 'auto', tabindex: '0' });
  const { text, spans, rest } = parseAnsi(message, LONGEST);
  const marks = matcher?.ranges(text) ?? [];
  paint(block, text, spans.slice(0, MOST_SPANS), marks, true);
  if (!rest) return block;
  const hidden = marks.length ? null : excerpt(stripAnsi(message), text.length, matcher);
  if (hidden) block.append(hidden);
  block.append(h('span', { class: 'rest' }, ' … cut here; Copy message has it all'));
  return block;
}

/** @param {string} text valid JSON @param {Matcher | null} [matcher] */
function jsonBlock(text, matcher) {
  const block = h('pre', { class: 'json', tabindex: '0' });
  const laidOut = text.length <= LONGEST ? pretty(text) : text.slice(0, LONGEST);
  const spans = laidOut.length <= LONGEST
    ? tokens(laidOut).filter(({ kind }) => kind !== 'space')
        .map(({ kind, start, end }) => ({ start, end, className: `j-${kind}` }))
    : [];
  paint(block, laidOut, spans.slice(0, MOST_SPANS), matcher?.ranges(laidOut) ?? [], false);
  return block;
}

/** @param {Entry} entry */
function timeOf(entry) {
  const date = new Date(entry.time);
  if (Number.isNaN(date.getTime())) return 'unreadable';
  return h('span', {},
    date.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' }),
    h('br'), date.toISOString(), h('br'), timeSince(entry.time));
}

/** @param {[string, Node | string][]} rows */
const fields = (rows) =>
  h('dl', {}, ...rows.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]));

/** @param {string} name @param {string} label @param {() => void} onclick */
const button = (name, label, onclick) =>
  h('button', { type: 'button', class: 'quiet', 'aria-label': label, title: label, onclick }, icon(name));

/** @param {string} text @param {string} label @param {() => void} onclick */
const word = (text, label, onclick) =>
  h('button', { type: 'button', class: 'quiet word', 'aria-label': label, onclick }, text);

/** @param {string} name @param {string} label @param {() => void} onclick */
const action = (name, label, onclick) =>
  h('button', { type: 'button', onclick }, icon(name), label);

/** @param {string} text @param {string} what */
async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS there is no clipboard but the old one.
    const focused = document.activeElement;
    const area = h('textarea', { class: 'unseen-label', 'aria-hidden': 'true' });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
    if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
  }
  hint(`${what} copied`);
}
