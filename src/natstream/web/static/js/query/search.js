// The search: the field, the chips and the address show one wish, and a change of any of them asks
// the service. In: what the reader types, clicks or opens. Out: the handlers, once for each change.

import { byId, hint } from '../dom.js';
import { CAPACITY } from '../list/held.js';
import { linkTo, readAddress, readSearch, searchOf, withColumns, writeAddress } from './address.js';
import { Chips } from './chips.js';
import { Completion } from './completion.js';
import { addCondition, formatCondition } from './condition.js';
import { QueryExchange } from './exchange.js';
import { Field } from './field.js';
import { toParams } from './params.js';
import { canAsk, cannotAsk, emptyQuery, excludeValue, toggleValue } from './query.js';

/** @typedef {import('./exchange.js').Wish} Wish */
/** @typedef {import('./query.js').Query} Query */

// At first as many lines as arrive in a second or two: on a telephone they fill a few screens,
// elsewhere the histogram at a few dozen lines a second. "Load earlier lines" asks for more.
const TAILS = [matchMedia('(max-width: 700px)').matches ? 2_000 : 10_000, 50_000, CAPACITY];

export class Search {
  #exchange;
  #chips;

  /**
   * @param {import('./exchange.js').Stream} stream
   * @param {{changed: (wish: Readonly<Wish>) => void, sent: () => void, again: () => void,
   *   left: () => void, wentTo: (moment: number) => void, isUtc: () => boolean}} handlers
   *   `changed`: show another wish; `sent`: the service is asked for other lines;
   *   `again`: Enter on the query that is asked already; `left`: Escape in the field;
   *   `wentTo`: Enter on a time to go to, in Unix ms; `isUtc`: return whether the page shows UTC
   */
  constructor(stream, { changed, sent, again, left, wentTo, isUtc }) {
    // Before the field, because its keys come first while it shows its list.
    new Completion(() => this.facetParams.toString());
    this.field = new Field({
      asked: (query) => this.#exchange.change((wish) => { wish.query = query; }, { typed: true }),
      clock: () => ({ now: Date.now(), utc: isUtc() }),
      wentTo,
      again,
      left,
    });
    this.#chips = new Chips(byId('chips', HTMLElement),
      (chip, value) => this.#toggleChip(chip, value), (field, value) => this.exclude(field, value));
    this.#exchange = new QueryExchange(stream, TAILS, {
      changed: ({ typed = false, why }) => {
        const { wish } = this.#exchange;
        this.field.show(wish.query, typed);
        writeAddress(wish, why);
        this.#chips.setQuery(wish.query);
        changed(wish);
      },
      sent,
      declined: (detail) => this.field.complain(detail),
    });
  }

  get wish() {
    return this.#exchange.wish;
  }

  /** The parameters of /api/facets. The counts do not depend on times. */
  get facetParams() {
    const params = toParams(this.wish.query);
    params.delete('since');
    params.delete('until');
    return params;
  }

  /** Whether the service may have earlier lines.
   * @param {number} received the lines it sent at the start */
  hasEarlier(received) {
    return this.#exchange.hasEarlier(received);
  }

  /**
   * Ask for the query of the address. A query with an error is only shown, because leaving out
   * the wrong part would show more lines than the link means.
   * @param {boolean} raw whether JSON messages are shown as they came, unless the address says it
   * @returns {{line: string, context: string, isAsked: boolean}} `line`: the id of the line that
   *   the address links to; `context`: the id of a line to show among its neighbours
   */
  followAddress(raw) {
    const { line, context, ...shown } = readAddress(raw);
    const { query } = shown;
    const wish = { ...shown, depth: line ? TAILS.length - 1 : 0 };
    const isAsked = !query.error;
    if (isAsked) this.#exchange.ask(wish, { why: 'follows' });
    else {
      this.field.show(query, false);
      this.#exchange.refuse(wish);
    }
    return { line, context, isAsked };
  }

  /** The query string of the present view. */
  get view() {
    return searchOf(this.wish);
  }

  /** Show a view. @param {string} search its query string */
  openView(search) {
    this.#exchange.ask({ ...readSearch(search, false), depth: 0 });
  }

  /** Return the address that shows a line. @param {string} id */
  linkTo(id) {
    return linkTo(this.wish, id);
  }

  /** The parameters of /api/patterns. What is shown of the patterns does not change their counts. */
  get patternParams() {
    const params = this.facetParams;
    params.delete('pattern');
    params.delete('not_pattern');
    return params;
  }

  /** @param {Map<string, string>} texts of patterns, by id */
  setPatterns(texts) {
    this.#chips.setPatterns(texts);
  }

  /** @param {Record<string, any>} facets the answer of /api/facets */
  setFacets(facets) {
    this.#chips.setFacets(facets);
  }

  /** A stream has started anew. */
  grant() {
    this.#exchange.grant();
  }

  /** Close the connection, until the stream is resumed. */
  release() {
    this.#exchange.release();
  }

  /** Ask for the same lines once more. */
  askAgain() {
    this.#exchange.askAgain();
  }

  showAll() {
    this.#exchange.change((wish) => { wish.query = emptyQuery(); });
  }

  /** Show only the lines with this value.
   * @param {import('./query.js').Field} field @param {string} value */
  only(field, value) {
    this.#askFor(field, value, ({ fields, excluded }) => {
      fields[field] = [value];
      excluded[field] = excluded[field].filter((other) => other !== value);
    });
  }

  /** Remove a value that the query has, or show only its lines.
   * @param {import('./query.js').Field} field @param {string} value */
  toggle(field, value) {
    this.#askFor(field, value, (query) => toggleValue(query, field, value));
  }

  /** Hide the lines with this value.
   * @param {import('./query.js').Field} field @param {string} value */
  exclude(field, value) {
    this.#askFor(field, value, (query) => excludeValue(query, field, value));
  }

  /** Hide lines with a text. @param {import('./query.js').Text} text */
  hide(text) {
    this.#exchange.change((wish) => {
      wish.query.texts.push(text);
      wish.marking = false;
    });
  }

  /** Show all lines and mark the matches, or show only the matches. */
  toggleMarking() {
    this.#exchange.change((wish) => { wish.marking = !wish.marking; });
  }

  /** Show the lines of Fly's own services, or hide them. */
  toggleMuted() {
    this.#exchange.change(({ query }) => {
      toggleValue(query, 'type', 'log');
      query.fields.type = query.fields.type.filter((type) => type === 'log');
    });
  }

  /** Show only the lines that meet a condition, in place of the others on the same field.
   * @param {import('./condition.js').Condition} condition */
  onlyField(condition) {
    this.#exchange.change(({ query }) => {
      query.conditions = query.conditions.filter(({ name }) => name !== condition.name);
      query.conditions.push(condition);
    });
  }

  /** Add a condition to the others. @param {import('./condition.js').Condition} condition */
  addField(condition) {
    this.#exchange.change((wish) => {
      addCondition(wish.query.conditions, condition);
      wish.marking = false;
    });
  }

  /** Show JSON messages as they came, or their text first. */
  toggleRaw() {
    this.#exchange.change((wish) => { wish.raw = !wish.raw; });
  }

  /** @param {string} name of a field */
  addColumn(name) {
    if (canAsk(name)) {
      this.#exchange.change((wish) => { wish.columns = withColumns(wish.columns, [name]); });
    } else hint(cannotAsk('cols', name));
  }

  /** @param {string} name of a field */
  removeColumn(name) {
    this.#exchange.change((wish) => {
      wish.columns = wish.columns.filter((column) => column !== name);
    });
  }

  loadEarlier() {
    this.#exchange.change((wish) => { wish.depth += 1; });
  }

  /** @param {import('./chips.js').Chip} chip @param {string} value */
  #toggleChip(chip, value) {
    if (chip === 'condition') {
      this.#exchange.change(({ query }) => {
        query.conditions = query.conditions.filter((one) => formatCondition(one) !== value);
      });
    } else if (chip === 'warn') {
      this.#exchange.change(({ query }) => { query.minLevel = query.minLevel ? '' : 'warn'; });
    } else this.#askFor(chip, value, (query) => toggleValue(query, chip, value));
  }

  /** @param {string} field @param {string} value @param {(query: Query) => void} edit */
  #askFor(field, value, edit) {
    if (canAsk(value)) this.#exchange.change(({ query }) => edit(query));
    else hint(cannotAsk(field, value));
  }
}
