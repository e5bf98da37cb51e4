// The bell: a notification of the browser when a line of the present query arrives, for as long as the
// page is open. It belongs to its query, so it is off when another one is asked, and after a reload.

import { byId, hint } from '../dom.js';
import { formatQuery } from '../query/language.js';
import { toParams } from '../query/params.js';
import { stripAnsi } from '../text/ansi.js';
import { revealed } from '../text/readable.js';
import { count } from '../text/time.js';

/** @typedef {import('../types.js').Entry} Entry */

const PAUSE_MS = 30_000;
// Systems show two or three lines of a notification.
const LONGEST_TEXT = 160;
const LONGEST_QUERY = 60;
const DENIED =
  'This browser does not allow notifications of this page. You can allow them in its settings for the site.';

/**
 * Return the words of a notification. Strangers write lines, so a line is shown as text of one line,
 * with names for its control characters. Pure.
 * @param {Entry} entry the first line @param {number} lines how many came @param {string} query as typed
 * @returns {{title: string, body: string}}
 */
export function wordsOf({ message, app }, lines, query) {
  const text = revealed(stripAnsi(message.slice(0, LONGEST_TEXT * 4)).trim().replace(/\s+/g, ' '));
  const about = query ? ` of ${cut(revealed(query), LONGEST_QUERY)}` : '';
  return {
    title: `${count(lines, 'line')}${about} · natstream`,
    body: cut(`${app ? `${revealed(app)}: ` : ''}${text}`, LONGEST_TEXT),
  };
}

/** @param {string} text @param {number} most */
const cut = (text, most) => (text.length > most ? `${[...text.slice(0, most - 1)].join('')}…` : text);

export class Bell {
  #button = byId('bell', HTMLButtonElement);
  #isOn = false;
  /** The parameters of the query that the bell is for. */
  #key = '';
  #timer = 0;
  /** The first line since the last notification. @type {Entry | null} */
  #first = null;
  #lines = 0;

  /**
   * @param {{search: import('../query/search.js').Search, neighbours:
   *   import('./neighbours.js').Neighbours, look: import('../list/row.js').Look}} parts
   * @param {(isOn: boolean) => void} turned the bell is on or off now
   */
  constructor(parts, turned) {
    this.parts = parts;
    this.#turned = turned;
    if (!('Notification' in window)) return; // the button stays hidden
    this.#button.hidden = false;
    this.#button.addEventListener('click', () => void this.#toggle());
  }

  #turned;

  /** The parameters of the present query. */
  get #present() {
    return toParams(this.parts.search.wish.query).toString();
  }

  /** Whether a line is one of the query. With "all lines", the page gets others as well.
   * @param {Entry} entry */
  #isMeant({ note, message }) {
    const { search, look } = this.parts;
    return !note && (!search.wish.marking || (look.matcher?.test(stripAnsi(message)) ?? true));
  }

  /** Lines have arrived live. @param {Entry[]} entries */
  hear(entries) {
    if (!this.#isOn) return;
    for (const entry of entries) {
      if (!this.#isMeant(entry)) continue;
      this.#first ??= entry;
      this.#lines += 1;
    }
    if (!this.#timer) this.#ring();
  }

  /** Another query may be asked: the bell is for one. */
  update() {
    if (this.#isOn && this.#present !== this.#key) {
      this.stop('The bell is off, because it was for the query before.');
    }
  }

  /** Turn the bell off. @param {string} why a sentence for the reader */
  stop(why) {
    if (!this.#isOn) return;
    this.#set(false);
    hint(why);
  }

  async #toggle() {
    if (this.#isOn) {
      this.stop('The bell is off.');
      return;
    }
    if (Notification.permission === 'default') await Notification.requestPermission();
    if (Notification.permission === 'granted') {
      this.#key = this.#present;
      this.#set(true);
      hint('The bell is on: this browser tells you of new lines, at most every 30 s, while the page is open.');
    } else if (Notification.permission === 'denied') hint(DENIED);
    else hint('The bell is off, because the browser was not allowed to show notifications.');
  }

  /** @param {boolean} isOn */
  #set(isOn) {
    this.#isOn = isOn;
    this.#button.setAttribute('aria-pressed', String(isOn));
    // The timer stays, so that a bell that is turned off and on does not ring more often.
    this.#first = null;
    this.#lines = 0;
    this.#turned(isOn);
  }

  /** Tell of the lines that came, and then pause. */
  #ring() {
    const entry = this.#first;
    if (!entry) return;
    const { title, body } = wordsOf(entry, this.#lines, formatQuery(this.parts.search.wish.query));
    this.#first = null;
    this.#lines = 0;
    this.#timer = Number(setTimeout(() => {
      this.#timer = 0;
      this.#ring();
    }, PAUSE_MS));
    try {
      // Of two tabs with one query, the second replaces the notification of the first.
      const notification = new Notification(title, { body, tag: `natstream ${this.#key}` });
      notification.onclick = () => {
        notification.close();
        window.focus();
        void this.parts.neighbours.open(entry.id);
      };
    } catch {
      // Chromium on Android has the class, but lets only service workers use it.
      this.stop('The bell is off, because this browser shows no notifications of a page.');
      this.#button.hidden = true;
    }
  }
}
