// The search field and its buttons. In: what people type. Out: a query, once they pause.

import { byId } from '../dom.js';
import { formatQuery, parseQuery } from './query.js';

/** @typedef {import('./query.js').Query} Query */

// From the last key to the question, so that a word is not asked letter by letter: slow fingers take
// half a second for one. Enter asks at once.
const PAUSE_MS = 600;

export class Search {
  #field = byId('query', HTMLInputElement);
  #clear = byId('query-clear', HTMLElement);
  #error = byId('query-error', HTMLElement);
  #timer = 0;
  /** What is asked, in words: to see whether the field says something else. Null if nothing is.
   * @type {string | null} */
  #shown = null;
  /** Whether somebody has typed since it was last read. */
  #touched = false;

  /**
   * @param {{asked: (query: Query) => void, again: () => void, left: () => void}} handlers
   *   `again`: Enter on what is asked already; `left`: Escape
   */
  constructor({ asked, again, left }) {
    this.#asked = asked;
    const field = this.#field;
    field.addEventListener('input', () => {
      this.#clear.hidden = field.value === '';
      this.#touched = true;
      clearTimeout(this.#timer);
      this.#timer = Number(setTimeout(() => this.#take(), PAUSE_MS));
    });
    field.addEventListener('blur', () => {
      if (this.#touched) this.#take();
    });
    field.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') left();
    });
    byId('search', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      if (!this.#take()) again();
    });
    this.#clear.addEventListener('click', () => {
      field.value = '';
      this.#take();
      field.focus();
    });
  }

  #asked;

  /** Go there, to type anew. */
  focus() {
    this.#field.focus();
    this.#field.select();
  }

  /** Show what is asked. @param {Query} query @param {boolean} typed here, as the field has it */
  show(query, typed) {
    const text = formatQuery(query);
    this.#shown = query.error ? null : text;
    if (!typed) this.#field.value = text;
    this.#clear.hidden = this.#field.value === '';
    this.complain(query.error);
  }

  /** @param {string} text what cannot be asked; empty if all is well */
  complain(text) {
    this.#error.textContent = text;
    this.#error.hidden = !text;
    this.#field.setAttribute('aria-invalid', String(Boolean(text)));
  }

  /** @returns {boolean} whether something new is asked */
  #take() {
    clearTimeout(this.#timer);
    this.#touched = false;
    const query = parseQuery(this.#field.value);
    this.complain(query.error);
    if (query.error || formatQuery(query) === this.#shown) return false;
    this.#asked(query);
    return true;
  }
}
