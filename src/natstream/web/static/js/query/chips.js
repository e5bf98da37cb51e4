// The chips below the search field: the values of fields, with their lines a second. A click shows
// only the lines with a value. The counts come from /api/facets, and the filter of a field does not
// change its counts.

import { arrange, byId, h, icon, placeMenu } from '../dom.js';
import { GROUPS as LEVEL_GROUPS, groupOf } from '../panels/bins.js';
import { count, perSecond, short } from '../text/time.js';
import { formatCondition } from './condition.js';
import { LEVELS } from './query.js';
import { Names } from '../text/names.js';
import { revealed } from '../text/readable.js';

/** @typedef {import('./query.js').Query} Query */
/** @typedef {'app' | 'level' | 'region' | 'group' | 'release' | 'machine' | 'type'} ChipField */
/** @typedef {ChipField | 'warn' | 'condition' | 'pattern'} Chip */
/** @typedef {{lines: number, rate: number}} Figures */

/** The fields with chips, and the number of values that each shows. A telephone shows fewer.
 * @type {[ChipField, number][]} */
const GROUPS = matchMedia('(max-width: 700px)').matches
  ? [['app', 2], ['level', 2], ['region', 2], ['group', 2], ['release', 1], ['machine', 1], ['type', 2]]
  : [['app', 4], ['level', 5], ['region', 4], ['group', 3], ['release', 2], ['machine', 2], ['type', 2]];

// A longer name is cut, as in the list: in its middle, or where it differs from another one.
const LONGEST_NAME = 16;
const names = new Names();
// The characters of a machine's ID that tell it from the others, nearly always.
const SHORT_ID = 8;

export class Chips {
  /** @type {Record<string, Record<string, Figures>>} */
  #facets = {};
  /** Pattern ids → their texts. @type {Map<string, string>} */
  #patterns = new Map();
  /** @type {Query | null} */
  #query = null;
  /** Groups and chips by their names. They stay the same elements when counts change.
   * @type {Map<string, HTMLElement>} */
  #elements = new Map();
  /** Whether a finger or a button is down. Meanwhile no chip may move away from it. */
  #pressed = false;

  /** @param {HTMLElement} element
   * @param {(chip: Chip, value: string) => void} toggle
   * @param {(field: ChipField, value: string) => void} exclude */
  constructor(element, toggle, exclude) {
    this.element = element;
    this.toggle = toggle;
    this.exclude = exclude;
    // A mouse needs its wheel to scroll the row. Fingers and keys can scroll it anyway.
    element.addEventListener('wheel', (event) => {
      if (!event.deltaX) element.scrollLeft += event.deltaY;
    }, { passive: true });
    element.addEventListener('pointerdown', () => {
      this.#pressed = true;
    });
    for (const end of ['pointerup', 'pointercancel']) {
      addEventListener(end, () => {
        if (!this.#pressed) return;
        this.#pressed = false;
        setTimeout(() => this.#draw()); // after the click
      });
    }
  }

  /** @param {Record<string, any>} facets the answer of /api/facets */
  setFacets(facets) {
    this.#facets = facets;
    this.#draw();
  }

  /** @param {Map<string, string>} texts of patterns, by id */
  setPatterns(texts) {
    this.#patterns = texts;
    this.#draw();
  }

  /** @param {Query} query */
  setQuery(query) {
    this.#query = query;
    this.#draw();
  }

  #draw() {
    const query = this.#query;
    if (!query || this.#pressed) return;
    const shown = new Map();
    arrange(
      this.element,
      [
        ...this.#conditions(query, shown),
        ...this.#chosenPatterns(query, shown),
        ...GROUPS.flatMap(([field, most]) => this.#group(query, field, most, shown)),
      ],
    );
    this.#elements = shown;
  }

  /** Build the group of the conditions on fields. A click removes one.
   * @param {Query} query @param {Map<string, HTMLElement>} shown gets the elements that are used */
  #conditions(query, shown) {
    if (!query.conditions.length) return [];
    const chips = query.conditions.map((condition) => {
      const text = formatCondition(condition);
      const name = `condition:${text}`;
      const chip = this.#elements.get(name) ?? h('button', {
        type: 'button', class: 'chip condition', 'data-chip': name, 'aria-pressed': 'true',
        title: `${revealed(text)}: remove it`, onclick: () => this.toggle('condition', text),
      }, h('span', { class: 'value' }, revealed(text)), icon('close'));
      shown.set(name, chip);
      return chip;
    });
    const group = this.#elements.get('conditions') ??
      h('div', { class: 'group', role: 'group', 'aria-label': 'fields' },
        h('span', { class: 'name', 'aria-hidden': 'true' }, 'fields'));
    shown.set('conditions', group);
    arrange(group, [group.children[0], ...chips]);
    return [group];
  }

  /** Build the group of the patterns in the query. A click removes one.
   * @param {Query} query @param {Map<string, HTMLElement>} shown gets the elements that are used */
  #chosenPatterns(query, shown) {
    const wanted = query.fields.pattern.map((id) => ({ id, isHidden: false }));
    const chosen = [...wanted, ...query.excluded.pattern.map((id) => ({ id, isHidden: true }))];
    if (!chosen.length) return [];
    const chips = chosen.map(({ id, isHidden }) => {
      const text = revealed(this.#patterns.get(id) ?? id);
      const label = `${isHidden ? 'Lines like this are hidden' : 'Only lines like this'}: ${text}`;
      const name = `pattern:${id}`;
      const chip = this.#elements.get(name) ?? h('button', {
        type: 'button', class: 'chip condition', 'data-chip': name, 'aria-pressed': 'true',
        onclick: () => this.toggle('pattern', id),
      }, h('span', { class: 'value' }), icon('close'));
      chip.classList.toggle('excluded', isHidden);
      chip.title = `${label}. Remove it`;
      chip.setAttribute('aria-label', label);
      setText(chip.firstElementChild, text);
      shown.set(name, chip);
      return chip;
    });
    const group = this.#elements.get('patterns') ??
      h('div', { class: 'group', role: 'group', 'aria-label': 'patterns' },
        h('span', { class: 'name', 'aria-hidden': 'true' }, 'pattern'));
    shown.set('patterns', group);
    arrange(group, [group.children[0], ...chips]);
    return [group];
  }

  /** @param {Query} query @param {ChipField} field @param {number} most
   * @param {Map<string, HTMLElement>} shown gets the elements that are used */
  #group(query, field, most, shown) {
    const values = this.#values(query, field);
    if (!values.length) return [];
    /** @param {string} name @param {() => HTMLElement} make */
    const element = (name, make) => {
      const one = this.#elements.get(name) ?? make();
      shown.set(name, one);
      return one;
    };
    const chosen = [...query.fields[field], ...query.excluded[field]];
    // The row shows all chosen values and the busiest others, in an order that does not change.
    const some = values.length <= most + 1
      ? values
      : values.filter(([value], index) => chosen.includes(value) || index < most);
    const chips = ordered(field, some).map(([value, figures]) => {
      const chip = element(`${field}:${value}`, () => this.#chip(field, value));
      // Each time, because a value that is new may be alike.
      setText(chip.firstElementChild, labelOf(field, value, values));
      this.#update(chip, field, value, figures);
      return chip;
    });
    if (field === 'level') {
      const least = element('warn', () =>
        h('button', {
          type: 'button', class: 'chip', 'data-chip': 'warn',
          title: 'Warnings and worse', onclick: () => this.toggle('warn', ''),
        }));
      least.setAttribute('aria-pressed', String(query.minLevel !== ''));
      setText(least, `≥ ${query.minLevel || 'warn'}`);
      chips.push(least);
    }
    const hidden = values.length - some.length;
    if (hidden > 0) {
      const more = element(`${field} more`, () =>
        h('button', {
          type: 'button', class: 'chip more', 'data-chip': `${field} more`,
          'aria-haspopup': 'true', onclick: (event) => this.#openAll(event, field),
        }));
      setText(more, `+${hidden}`);
      more.title = `${hidden} more of ${field}`;
      chips.push(more);
    }
    const group = element(field, () =>
      h('div', { class: 'group', role: 'group', 'aria-label': field },
        h('span', { class: 'name', 'aria-hidden': 'true' }, field)));
    arrange(group, [group.children[0], ...chips]);
    return [group];
  }

  /** Return the values of a field with their figures, the busiest first. @param {Query} query
   * @param {ChipField} field @returns {[string, Figures][]} */
  #values(query, field) {
    const seen = new Map(Object.entries(this.#facets[field] ?? {}));
    for (const value of [...query.fields[field], ...query.excluded[field]]) {
      if (!seen.has(value)) seen.set(value, { lines: 0, rate: 0 });
    }
    seen.delete('');
    return [...seen].sort(([, a], [, b]) => b.lines - a.lines);
  }

  /** @param {ChipField} field @param {string} value */
  #chip(field, value) {
    return h('button', {
      type: 'button', class: `chip ${field === 'level' ? `level-${LEVEL_GROUPS[groupOf(value)]}` : ''}`,
      'data-chip': `${field}:${value}`,
      onclick: (event) => (event.altKey ? this.exclude(field, value) : this.toggle(field, value)),
    }, h('span', { class: 'value' }), h('span', { class: 'count' }));
  }

  /** @param {HTMLElement} chip
   * @param {ChipField} field @param {string} value @param {Figures} figures */
  #update(chip, field, value, { lines, rate }) {
    const isExcluded = this.#query?.excluded[field].includes(value) ?? false;
    const isWanted = this.#query?.fields[field].includes(value) ?? false;
    chip.classList.toggle('excluded', isExcluded);
    chip.setAttribute('aria-pressed', String(isWanted || isExcluded));
    if (isExcluded) chip.setAttribute('aria-label', `no ${field} ${revealed(value)}`);
    else chip.removeAttribute('aria-label');
    const figures = `${count(lines, 'line')} in the last half hour, ${perSecond(rate)}`;
    chip.title = isExcluded
      ? `Lines of ${field} ${revealed(value)} are hidden: show them`
      : `${field} ${revealed(value)}: ${figures}. Alt and click: hide its lines`;
    setText(chip.lastElementChild, rate >= 0.05 ? perSecond(rate) : short(lines));
  }

  /** Open a menu with all values of a field. @param {MouseEvent} event @param {ChipField} field */
  #openAll(event, field) {
    const menu = byId('values', HTMLElement);
    const list = h('div', { class: 'list' });
    const fill = (/** @type {string} */ part) => {
      const values = this.#query ? this.#values(this.#query, field) : [];
      list.replaceChildren(
        ...values
          .filter(([value]) => value.includes(part))
          .map(([value, figures]) => {
            const chip = this.#chip(field, value);
            setText(chip.firstElementChild, revealed(value));
            this.#update(chip, field, value, figures);
            return chip;
          }),
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

/** Return what a chip says. A machine's ID is shown up to where it differs from the others.
 * @param {ChipField} field @param {string} value @param {[string, Figures][]} others */
function labelOf(field, value, others) {
  const name = revealed(value);
  if (field === 'machine') {
    const start = name.replace(/\*$/, '');
    const isShared = (/** @type {string} */ part) =>
      others.some(([other]) => other !== value && revealed(other).startsWith(part));
    let length = SHORT_ID;
    while (length < start.length && isShared(start.slice(0, length))) length += 1;
    return start.length > length || start !== name ? `${start.slice(0, length)}…` : name;
  }
  return names.shown(name, LONGEST_NAME).parts.map(({ text, cut }) => (cut ? '…' : text)).join('');
}

/** @param {Element | null} element @param {string} text */
function setText(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

/** Sort values by name, levels from the worst to the least with unknown levels last, and releases
 * from the newest to the oldest.
 * @param {ChipField} field @param {[string, Figures][]} values */
function ordered(field, values) {
  const rank = (/** @type {string} */ value) => {
    if (field === 'release') return Number(value) || 0;
    return field === 'level' ? LEVELS.indexOf(value) : 0;
  };
  return [...values].sort(([a], [b]) => rank(b) - rank(a) || (a < b ? -1 : 1));
}
