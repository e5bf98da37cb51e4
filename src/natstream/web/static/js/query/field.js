// The search field. In: what the reader types. Out: a query, when the reader pauses.

import { byId } from '../dom.js';
import { formatQuery, parseQuery } from './language.js';

/** @typedef {import('./query.js').Query} Query */

// The pause after the last key, so that the page does not ask for each letter of a word: slow
// typists need half a second for a letter. Enter asks at once.
const PAUSE_MS = 600;

export class Field {
  #field = byId('query', HTMLInputElement);
  #clear = byId('query-clear', HTMLElement);
  #error = byId('query-error', HTMLElement);
  #timer = 0;
  /** The text of the query that is asked, to see whether the field has another; null if none
   * is asked. @type {string | null} */
  #shown = null;
  /** Whether the reader has typed since the field was last read. */
  #touched = false;

  /**
   * @param {{asked: (query: Query) => void, again: () => void, left: () => void}} handlers
   *   `again`: Enter on the query that is asked already; `left`: Escape
   */
  constructor({ asked, again, left }) {
    this.#asked = asked;
    const field = this.#field;
    field.addEventListener('input', () => {
      this.#clear.hidden = field.value === '';
      this.#touched = true;
      clearTimeout(this.#timer);
      this.#timer = Number(setTimeout(() => this.#read(), PAUSE_MS));
    });
    field.addEventListener('blur', () => {
      if (this.#touched) this.#read();
    });
    field.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') left();
    });
    byId('search', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      if (!this.#read()) again();
    });
    this.#clear.addEventListener('click', () => {
      field.value = '';
      this.#read();
      field.focus();
    });
  }

  #asked;

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
    if (!typed) this.#field.value = text;
    this.#clear.hidden = this.#field.value === '';
    this.complain(query.error);
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
    const query = parseQuery(this.#field.value);
    this.complain(query.error);
    if (query.error || formatQuery(query) === this.#shown) return false;
    this.#asked(query);
    return true;
  }
}
