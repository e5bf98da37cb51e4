// Completion in the search field: the names and values of fields, as the lines of the present filter
// have them, and the queries that were typed last. In: the word before the caret. Out: a list below the
// field, and the completed word.

import { byId, h } from '../dom.js';
import { revealed } from '../text/readable.js';
import { short } from '../text/time.js';
import { recentQueries } from './stored.js';

/** @typedef {Map<string, {lines: number, values: string[]}>} KnownFields */
/** @typedef {{word: string, label: string, note: string, isWhole?: boolean}} Suggestion  `isWhole`: it
 *   replaces all of the field */

const WORD = /^(-?!?)([\p{L}_@$][\p{L}\p{N}_@$.-]*)(?:(!=|[<>]=?|=)("?)([^]*))?$/u;
// The rest of the language, for a reader who has forgotten it.
const WORDS = [
  'app:', 'at:', 'group:', 'level>=', 'level:', 'machine:', 'region:', 'release:', 'since:', 'source:',
  'stream:', 'type:', 'until:',
];
const MOST_SHOWN = 10;
// Of the queries that begin like the text in the field; more would hide the list from its reader.
const MOST_ALIKE = 3;
// New names appear with new lines.
const FRESH_MS = 10_000;

/**
 * Return the suggestions for a word. Pure.
 * @param {string} word @param {KnownFields} fields @returns {Suggestion[]}
 */
export function suggestions(word, fields) {
  const match = WORD.exec(word);
  if (!match) return [];
  const [, sign, name, operator, , typed = ''] = match;
  if (operator) {
    const field = fields.get(name);
    const wanted = typed.toLowerCase();
    return (field?.values ?? [])
      .filter((value) => value.toLowerCase().startsWith(wanted) && value.toLowerCase() !== wanted)
      .slice(0, MOST_SHOWN)
      .map((value) => ({
        word: `${sign}${name}${operator}${quoted(value)} `, label: revealed(value), note: '',
      }));
  }
  const wanted = name.toLowerCase();
  const words = sign ? [] : WORDS.filter((one) => one.startsWith(wanted));
  const names = [...fields].filter(([one]) => one.toLowerCase().includes(wanted) && WORD.test(one));
  names.sort(([a, { lines: x }], [b, { lines: y }]) =>
    Number(b.toLowerCase().startsWith(wanted)) - Number(a.toLowerCase().startsWith(wanted)) || y - x);
  return [
    ...words.map((one) => ({ word: one, label: one, note: '' })),
    ...names.map(([one, { lines }]) => ({
      word: sign + one + (sign.endsWith('!') ? ' ' : '='), label: one, note: `${short(lines)} lines`,
    })),
  ].slice(0, MOST_SHOWN);
}

/**
 * Return the queries that were typed before, for a text in the field. Pure.
 * @param {string} text @param {string[]} recent the newest first @returns {Suggestion[]}
 */
export function suggestedQueries(text, recent) {
  const typed = text.trimStart().toLowerCase();
  return recent
    .filter((one) => one.toLowerCase().startsWith(typed) && one.toLowerCase() !== typed.trimEnd())
    .slice(0, typed ? MOST_ALIKE : MOST_SHOWN)
    .map((one) => ({ word: one, label: revealed(one), note: 'recent', isWhole: true }));
}

/** @param {string} value */
const quoted = (value) => /[\s"]/.test(value) ? `"${value.replace(/["\\]/g, '\\$&')}"` : value;

export class Completion {
  #field = byId('query', HTMLInputElement);
  #list = byId('suggestions', HTMLElement);
  /** @type {Suggestion[]} */
  #shown = [];
  #chosen = -1;
  /** @type {KnownFields} */
  #known = new Map();
  #asked = '';
  #askedAt = 0;
  /** Ends when the last question is answered. */
  #answered = Promise.resolve();
  /** Changes when the reader types, or closes the list. */
  #turn = 0;
  /** Whether the reader wants suggestions for an empty field, too, since the last change of it. */
  #isAsked = false;

  /** @param {() => string} filter return the parameters of /api/fields */
  constructor(filter) {
    this.filter = filter;
    const field = this.#field;
    field.setAttribute('role', 'combobox');
    field.setAttribute('aria-autocomplete', 'list');
    field.setAttribute('aria-controls', this.#list.id);
    field.addEventListener('focus', () => void this.#ask());
    field.addEventListener('input', () => void this.#suggestTwice());
    field.addEventListener('blur', () => this.#close());
    field.addEventListener('keydown', (event) => this.#key(event));
    // Not a click, because the field would lose the focus before.
    this.#list.addEventListener('pointerdown', (event) => {
      event.preventDefault();
      const option = /** @type {Element} */ (event.target).closest('[role=option]');
      if (option) this.#accept(this.#shown[[...this.#list.children].indexOf(option)]);
    });
    this.#show([]);
  }

  /** Ask for the names of the present filter, unless they are known or on their way.
   * @returns {Promise<void>} ends when they are here */
  #ask() {
    const params = this.filter();
    if (params !== this.#asked || Date.now() - this.#askedAt >= FRESH_MS) {
      this.#asked = params;
      this.#askedAt = Date.now();
      this.#answered = this.#learn(params);
    }
    return this.#answered;
  }

  /** @param {string} params */
  async #learn(params) {
    try {
      const response = await fetch(`api/fields?${params}`);
      if (!response.ok) return;
      const { fields } = await response.json();
      if (params !== this.#asked) return; // Another filter is asked for meanwhile.
      this.#known = new Map(Object.entries(fields).map(([name, { lines, values }]) =>
        [name, { lines, values: values.map(String) }]));
    } catch {
      // Without an answer there is nothing to suggest.
    }
  }

  /** The word before the caret, and where it starts. */
  #word() {
    const before = this.#field.value.slice(0, this.#field.selectionStart ?? 0);
    const word = /(?:"[^"]*"?|[^\s"])*$/.exec(before)?.[0] ?? '';
    return { word, start: before.length - word.length, end: before.length };
  }

  /** Suggest what is known, and again once the names are here, unless the reader went on meanwhile. */
  async #suggestTwice() {
    const known = this.#known;
    const turn = ++this.#turn;
    this.#isAsked = false;
    this.#suggest();
    await this.#ask();
    if (this.#known !== known && turn === this.#turn && this.#chosen < 0) this.#suggest();
  }

  #suggest() {
    if (document.activeElement !== this.#field) return;
    const { word, end } = this.#word();
    const text = this.#field.value;
    const recent = end === text.length && (this.#isAsked || text.trim()) ? suggestedQueries(text, recentQueries()) : [];
    this.#show([...(word ? suggestions(word, this.#known) : []), ...recent]);
  }

  #close() {
    this.#turn++;
    this.#show([]);
  }

  /** @param {Suggestion[]} shown */
  #show(shown) {
    this.#shown = shown;
    this.#list.replaceChildren(...shown.map(({ label, note }, index) =>
      h('li', { role: 'option', id: `suggestion-${index}` },
        h('span', {}, label), h('span', { class: 'note-count' }, note))));
    this.#list.hidden = !shown.length;
    this.#field.setAttribute('aria-expanded', String(shown.length > 0));
    this.#choose(-1);
  }

  /** @param {number} index */
  #choose(index) {
    this.#chosen = index;
    [...this.#list.children].forEach((option, at) =>
      option.setAttribute('aria-selected', String(at === index)));
    if (index < 0) this.#field.removeAttribute('aria-activedescendant');
    else this.#field.setAttribute('aria-activedescendant', `suggestion-${index}`);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const count = this.#shown.length;
    if (!count && event.key === 'ArrowDown') {
      this.#isAsked = true;
      this.#suggest();
    }
    if (!count || event.isComposing) return;
    const chosen = this.#shown[this.#chosen];
    if (event.key === 'ArrowDown') this.#choose((this.#chosen + 1) % count);
    else if (event.key === 'ArrowUp') this.#choose((Math.max(this.#chosen, 0) + count - 1) % count);
    else if (event.key === 'Escape') this.#close();
    else if (event.key === 'Enter' && !chosen) {
      this.#close();
      return; // the search itself
    } else if ((event.key === 'Enter' || event.key === 'Tab') && chosen) this.#accept(chosen);
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  /** @param {Suggestion} suggestion */
  #accept({ word, isWhole }) {
    const { start, end } = isWhole ? { start: 0, end: this.#field.value.length } : this.#word();
    this.#field.setRangeText(word, start, end, 'end');
    this.#field.dispatchEvent(new Event('input', { bubbles: true }));
  }
}
