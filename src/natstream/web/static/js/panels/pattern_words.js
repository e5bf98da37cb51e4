// What the answer of /api/patterns says, in words, and in the order of the panel. Pure.

import { groupOf } from './bins.js';
import { revealed } from '../text/readable.js';
import { clockTime, count, figure, span } from '../text/time.js';

/** @typedef {'new' | 'more' | 'gone' | 'less' | 'same' | ''} Verdict */
/**
 * @typedef {object} Pattern
 * @property {string} id
 * @property {string} app
 * @property {string} pattern   the message with its varying parts masked
 * @property {string} level
 * @property {number} count   in the later span, or in the whole time
 * @property {number} rate   a second
 * @property {number} first_ms
 * @property {number} last_ms
 * @property {{id: string, message: string}} example
 * @property {number[]} series   counts in equal bins, the oldest first
 * @property {string[]} machines
 * @property {string[]} releases
 * @property {Verdict} [verdict]   the others are missing, too, if the pattern was not compared
 * @property {number} [before]
 * @property {number} [now]
 * @property {number | null} [factor]
 * @property {number} [sure]
 */
/** @typedef {{since_ms: number, release: string}} Deploy */
/**
 * @typedef {object} Answer
 * @property {Pattern[]} patterns
 * @property {{count: number}} other
 * @property {{kind: 'deploy' | 'span', since_ms: number, apps?: Record<string, Deploy>} | null} compare
 * @property {boolean} sampled
 * @property {number} since_ms
 * @property {number} until_ms
 * @property {'counters' | 'backlog'} from
 * @property {Record<string, Deploy>} [older_deploys]   newest releases too long ago to be compared
 */

// The first digits of an id tell app, level and first line, and the others a trace.
const HEAD_DIGITS = 12;

/** The verdicts with the heads of their parts, the most telling first.
 * @type {[Verdict, string][]} */
const PARTS = [
  ['new', 'New'], ['more', 'More often'], ['gone', 'Gone'], ['less', 'Less often'], ['same', 'As before'],
  ['', 'Not compared'],
];

/** Return the patterns by their verdicts, the most telling first. Of those that are new or have grown,
 * errors stand first: a hundred more orders are no incident, but three errors may be one.
 * @param {Answer} answer
 * @returns {{verdict: Verdict, title: string, patterns: Pattern[]}[]} without empty parts */
export function partsOf({ patterns, compare }) {
  return PARTS.map(([verdict, title]) => ({
    verdict,
    title: compare ? title : 'The most frequent first',
    patterns: patterns.filter((one) => (one.verdict ?? '') === verdict).sort((a, b) =>
      (verdict === 'new' || verdict === 'more' ? groupOf(a.level) - groupOf(b.level) : 0)),
  })).filter(({ patterns }) => patterns.length > 0);
}

/** Return what has become of a pattern, with the counts that show it.
 * @param {Pattern} pattern @returns {string} */
export function verdictText({ verdict, before = 0, now = 0, factor, count: lines }) {
  const counts = `${figure(Math.round(before))} → ${figure(Math.round(now))}`;
  if (verdict === 'new') return `new · ${figure(now)}×`;
  if (verdict === 'gone') return `gone · ${counts}`;
  if (verdict === 'more' || verdict === 'less') {
    return `${factor ? `×${short(factor)}` : verdict} · ${counts}`;
  }
  return verdict === 'same' ? `as before · ${counts}` : `${figure(lines)}×`;
}

/** Return a factor with two digits. @param {number} factor */
const short = (factor) => (factor >= 10 ? figure(Math.round(factor)) : Number(factor.toPrecision(2)));

/** Return the verdict for a tooltip: in whole words, and how sure it is.
 * @param {Pattern} pattern */
export function verdictTitle({ verdict, before = 0, now = 0, sure = 0, count: lines }) {
  if (!verdict) return `${count(lines, 'line')}, not compared`;
  const percent = Math.floor(sure * 1000) / 10;
  return `${figure(Math.round(before))} before, ${figure(Math.round(now))} now. `
    + `It is ${percent} % sure that the rate has changed`;
}

/** Return a pattern as text that shows each of its characters. @param {Pattern} pattern */
export const nameOf = ({ pattern }) => revealed(pattern) || '(no text)';

/** Return whether two patterns have the same first line, so that the service shows and hides their
 * lines together: when the first line of a trace comes, its frames are not known yet.
 * @param {string} id @param {string} other */
export const beginAlike = (id, other) => id.slice(0, HEAD_DIGITS) === other.slice(0, HEAD_DIGITS);

/** Return what `only` or `hide` does, for a tooltip.
 * @param {'shows' | 'hides'} does @param {number} alike   listed patterns with the same first line */
export function alikeTitle(does, alike) {
  return alike ? `Also ${does} ${count(alike, 'other pattern')} with the same first line, whatever its trace is` : '';
}

/** Return what is compared with what.
 * @param {Answer} answer @param {string} asked for: `deploy`, a duration, or empty
 * @param {import('../text/time.js').Clock} clock @returns {string} one sentence */
export function spanText({ compare, since_ms, until_ms, older_deploys = {} }, asked, clock) {
  const zone = clock === 'utc' ? 'utc' : 'local';
  const at = (/** @type {number} */ ms) => clockTime(ms, zone, until_ms).replace(/\.\d+$/, '');
  const length = (/** @type {number} */ from) => span(Math.max(0, until_ms - from) / 1000);
  if (!compare) return `The lines of the last ${length(since_ms)}.`;
  const named = (/** @type {Record<string, Deploy>} */ deploys) => {
    const apps = Object.entries(deploys).sort(([, a], [, b]) => b.since_ms - a.since_ms);
    const each = apps.slice(0, 3)
      .map(([app, one]) => `release ${revealed(one.release)} of ${revealed(app)} at ${at(one.since_ms)}`);
    return each.join(', ') + (apps.length > 3 ? ` and ${apps.length - 3} more` : '');
  };
  if (compare.kind === 'deploy') return `Since ${named(compare.apps ?? {})}, against as long before.`;
  let missing = '';
  if (asked === 'deploy') {
    const older = named(older_deploys);
    missing = older ? `No release is newer than half an hour: ${older}. ` : 'No newer release is known, so this is without one. ';
  }
  return `${missing}The last ${length(compare.since_ms)} against the ${length(compare.since_ms)} before.`;
}

/** Return a sentence if no pattern is new and none has grown, since the list then begins with others.
 * @param {Answer} answer */
export function quietText({ patterns, compare, since_ms }) {
  if (!compare || patterns.some(({ verdict }) => verdict === 'new' || verdict === 'more')) return '';
  return since_ms < compare.since_ms
    ? 'Nothing is new, and nothing has grown.'
    : 'The time before is not known, so nothing is called new.';
}

/** Return what a reader must know to trust the counts.
 * @param {Answer} answer @returns {string[]} sentences */
export function caveats({ other, sampled, from, patterns, compare, since_ms, until_ms }) {
  const apart = patterns.filter(({ verdict }) => !verdict).length;
  const span = Math.round((until_ms - since_ms) / 60_000);
  return [
    other.count ? `${count(other.count, 'line')} of other patterns ${other.count === 1 ? 'is' : 'are'} not listed.` : '',
    sampled ? 'So many lines came that natstream counted a sample of them, and multiplied.' : '',
    from === 'backlog' ? `This filter is answered from the lines in memory: ${span < 1 ? 'less than a minute' : count(span, 'minute')} of them.` : '',
    compare && apart ? 'Apps without a new release of the last half hour are not compared.' : '',
  ].filter(Boolean);
}

/** Return in a few words what is new and what has grown, for those who do not see it.
 * @param {Answer} answer */
export function summaryOf(answer) {
  const of = (/** @type {Verdict} */ verdict) =>
    answer.patterns.filter((one) => one.verdict === verdict).length;
  if (!answer.compare) return count(answer.patterns.length, 'pattern');
  return `${of('new')} new, ${of('more')} more often, ${of('gone')} gone, ${of('less')} less often`;
}
