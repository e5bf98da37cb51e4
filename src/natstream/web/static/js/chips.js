// The chips under the search field: values seen, how many lines a second they bring, one click
// to have only them. Counts come from /api/facets; a field's own filter does not change them.

import { byId, h, placeMenu } from './dom.js';
import { count, perSecond, short } from './time.js';
import { LEVELS } from './query.js';
import { revealed } from './text.js';

/** @typedef {import('./query.js').Query} Query */
/** @typedef {'app' | 'level' | 'region' | 'machine' | 'type'} ChipField */
/** @typedef {{lines: number, rate: number}} Figures */

/** Which fields, and how many of their values stand in the row. @type {[ChipField, number][]} */
const GROUPS = [['app', 6], ['level', 5], ['region', 5], ['machine', 3], ['type', 2]];

export class Chips {
  /** @type {Record<string, Record<string, Figures>>} */
  #facets = {};
  /** @type {Query | null} */
  #query = null;

  /** @param {HTMLElement} element @param {(field: ChipField | 'warn', value: string) => void} toggle */
  constructor(element, toggle) {
    this.element = element;
    this.toggle = toggle;
    // With a mouse the row scrolls by the wheel; fingers and keys need no help.
    element.addEventListener('wheel', (event) => {
      if (!event.deltaX) element.scrollLeft += event.deltaY;
    }, { passive: true });
  }

  /** @param {Record<string, any>} facets the answer of /api/facets */
  setFacets(facets) {
    this.#facets = facets;
    this.#draw();
  }

  /** @param {Query} query */
  setQuery(query) {
    this.#query = query;
    this.#draw();
  }

  #draw() {
    const query = this.#query;
    if (!query) return;
    const active = document.activeElement;
    const focused = active instanceof HTMLElement ? active.dataset.chip : undefined;
    this.element.replaceChildren(
      ...GROUPS.flatMap(([field, most]) => {
        const group = this.#group(query, field, most);
        return group ? [group] : [];
      }),
    );
    if (!focused) return;
    for (const chip of this.element.querySelectorAll('[data-chip]')) {
      if (chip instanceof HTMLElement && chip.dataset.chip === focused) chip.focus();
    }
  }

  /** @param {Query} query @param {ChipField} field @param {number} most */
  #group(query, field, most) {
    const values = this.#values(query, field);
    if (!values.length) return null;
    const chosen = query.fields[field];
    // Those chosen are always there; of the others the busiest, in an order that stays.
    const shown = values.length <= most + 1
      ? values
      : values.filter(([value], index) => chosen.includes(value) || index < most);
    const chips = ordered(field, shown).map(([value, figures]) => this.#chip(field, value, figures));
    if (field === 'level') {
      const least = query.minLevel !== '';
      chips.push(
        h('button', {
          type: 'button', class: 'chip', 'data-chip': 'warn', 'aria-pressed': String(least),
          title: 'Warnings and worse', onclick: () => this.toggle('warn', ''),
        }, least ? `≥ ${query.minLevel}` : '≥ warn'),
      );
    }
    const hidden = values.length - shown.length;
    if (hidden > 0) {
      chips.push(
        h('button', {
          type: 'button', class: 'chip more', 'data-chip': `${field} more`,
          'aria-haspopup': 'true', onclick: (event) => this.#openAll(event, field),
        }, `+${hidden}`),
      );
    }
    return h('div', { class: 'group', role: 'group', 'aria-label': field },
      h('span', { class: 'name', 'aria-hidden': 'true' }, field), ...chips);
  }

  /** The values of a field with their figures, the busiest first. @param {Query} query
   * @param {ChipField} field @returns {[string, Figures][]} */
  #values(query, field) {
    const seen = new Map(Object.entries(this.#facets[field] ?? {}));
    for (const value of query.fields[field]) {
      if (!seen.has(value)) seen.set(value, { lines: 0, rate: 0 });
    }
    seen.delete('');
    return [...seen].sort(([, a], [, b]) => b.lines - a.lines);
  }

  /** @param {ChipField} field @param {string} value @param {Figures} figures
   * @param {boolean} [whole] however long it is */
  #chip(field, value, { lines, rate }, whole = false) {
    const pressed = this.#query?.fields[field].includes(value) ?? false;
    const name = revealed(value);
    const label = field === 'machine' && name.length > 8 && !whole ? `${name.slice(0, 8)}…` : name;
    return h('button', {
      type: 'button', class: `chip ${field === 'level' ? `level-${value}` : ''}`,
      'data-chip': `${field}:${value}`, 'aria-pressed': String(pressed),
      title: `${field} ${name}: ${count(lines, 'line')} in the last half hour, ${perSecond(rate)}`,
      onclick: () => this.toggle(field, value),
    }, label, h('span', { class: 'count' }, rate >= 0.05 ? perSecond(rate) : short(lines)));
  }

  /** All values of a field, in a menu. @param {MouseEvent} event @param {ChipField} field */
  #openAll(event, field) {
    const menu = byId('values', HTMLElement);
    const list = h('div', { class: 'list' });
    const fill = (/** @type {string} */ part) => {
      const values = this.#query ? this.#values(this.#query, field) : [];
      list.replaceChildren(
        ...values
          .filter(([value]) => value.includes(part))
          .map(([value, figures]) => this.#chip(field, value, figures, true)),
      );
    };
    const search = h('input', {
      type: 'text', placeholder: `Find a ${field}`, 'aria-label': `Find a ${field}`,
      oninput: () => fill(search.value.trim()),
    });
    fill('');
    list.addEventListener('click', () => fill(search.value.trim()));
    menu.replaceChildren(search, list);
    menu.showPopover();
    placeMenu(menu, /** @type {HTMLElement} */ (event.currentTarget));
    search.focus();
  }
}

/** @param {ChipField} field @param {[string, Figures][]} values */
function ordered(field, values) {
  const rank = (/** @type {string} */ value) =>
    field === 'level' ? String(9 - LEVELS.indexOf(value)) + value : value;
  return [...values].sort(([a], [b]) => (rank(a) < rank(b) ? -1 : 1));
}
