// The search field. In: what the reader types. Out: a query, when the reader pauses; and the time to go
// to, when the reader types `at:14:05` and Enter.

import { byId } from '../dom.js';
import { hintOf } from './hints.js';
import { formatQuery, parseQuery } from './language.js';
import { momentOf } from './moment.js';
import { rememberQuery } from './stored.js';

/** @typedef {import('./query.js').Query} Query */

// The pause after the last key, so that the page does not ask for each letter of a word: slow
// typists need half a second for a letter. Enter asks at once.
const PAUSE_MS = 600;

export class Field {
  #field = byId('query', HTMLInputElement);
  #clear = byId('query-clear', HTMLElement);
  #error = byId('query-error', HTMLElement);
  #hint = byId('query-hint', HTMLElement);
  #timer = 0;
  /** The text of the query that is asked, to see whether the field has another; null if none
   * is asked. @type {string | null} */
  #shown = null;
  /** Whether the reader has typed since the field was last read. */
  #touched = false;

  /**
   * @param {{asked: (query: Query) => void, again: () => void, left: () => void,
   *   wentTo: (moment: number) => void, clock: () => import('./moment.js').Clock}} handlers
   *   `again`: Enter on the query that is asked already; `left`: Escape; `wentTo`: Enter on a time to
   *   go to, in Unix ms
   */
  constructor({ asked, again, left, wentTo, clock }) {
    this.#asked = asked;
    this.#clock = clock;
    const field = this.#field;
    field.addEventListener('input', () => {
      this.#clear.hidden = field.value === '';
      this.#showHint();
      this.#touched = true;
      clearTimeout(this.#timer);
      this.#timer = Number(setTimeout(() => this.#read(), PAUSE_MS));
    });
    field.addEventListener('blur', () => {
      if (!this.#touched) return;
      this.#read();
      this.#remember();
    });
    field.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') left();
    });
    byId('search', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      const { at } = parseQuery(field.value, clock());
      const isOther = this.#read();
      this.#remember();
      const moment = at ? momentOf(at, clock()) : null;
      if (moment !== null) {
        this.#write(this.#shown ?? '');
        wentTo(moment);
      } else if (at) this.complain(`at:${at} is no time. Type at:14:05, at:10m or at:2026-03-01T14:05.`);
      else if (!isOther) again();
    });
    this.#clear.addEventListener('click', () => {
      field.value = '';
      this.#read();
      field.focus();
    });
  }

  #asked;
  #clock;

  /** The reader is done with the query in the field. */
  #remember() {
    if (this.#error.hidden) rememberQuery(this.#field.value);
  }

  /** Focus the field and select its text. */
  focus() {
    this.#field.focus();
    this.#field.select();
  }

  /** Show the query that is asked. @param {Query} query
   * @param {boolean} typed whether it comes from this field, whose text then stays */
  show(query, typed) {
    const text = formatQuery(query);
    this.#shown = query.error ? null : text;
    this.#write(typed ? this.#field.value : text);
    this.complain(query.error);
  }

  /** @param {string} text */
  #write(text) {
    if (this.#field.value !== text) this.#field.value = text;
    this.#clear.hidden = text === '';
    this.#showHint();
  }

  /** Say what to type for a word that has another meaning elsewhere. It is shown with each letter and not
   * later, because it moves the list, and a click must not miss what it is aimed at. */
  #showHint() {
    const text = hintOf(this.#field.value);
    this.#hint.textContent = text;
    this.#hint.hidden = !text;
  }

  /** Show an error. @param {string} text a sentence; empty if there is no error */
  complain(text) {
    this.#error.textContent = text;
    this.#error.hidden = !text;
    this.#field.setAttribute('aria-invalid', String(Boolean(text)));
  }

  /** Ask for the query in the field.
   * @returns {boolean} whether it differs from the one that is asked */
  #read() {
    clearTimeout(this.#timer);
    this.#touched = false;
    const query = parseQuery(this.#field.value, this.#clock());
    this.complain(query.error);
    if (query.error || formatQuery(query) === this.#shown) return false;
    this.#asked(query);
    return true;
  }
}
