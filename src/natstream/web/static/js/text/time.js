// Times and figures as text. Pure, except for the time zone and the language of the browser.

/** @typedef {'local' | 'utc' | 'relative'} Clock */

/** @param {number} n @param {number} [width] */
const pad = (n, width = 2) => String(n).padStart(width, '0');

/**
 * Return a line's time for its column, with the date if it is not of today.
 * @param {number} ms @param {Clock} clock @param {number} now
 */
export function clockTime(ms, clock, now) {
  if (clock === 'relative') return ago(ms, now);
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return '--:--:--.---';
  const day = dayOf(ms, clock);
  const today = dayOf(now, clock);
  const time = clock === 'utc'
    ? date.toISOString().slice(-13, -1)
    : `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`;
  if (day === today) return time;
  const sameYear = day.slice(0, -6) === today.slice(0, -6);
  return `${sameYear ? day.slice(-5) : day} ${time}`;
}

/** "2024-02-29T12:34:56.007Z", or with the hours of the browser's zone before UTC; "-" if it is
 * unreadable. @param {number} ms @param {Clock} clock */
export function isoTime(ms, clock) {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return '-';
  if (clock === 'utc') return date.toISOString();
  const ahead = -date.getTimezoneOffset();
  const zone = `${ahead < 0 ? '-' : '+'}${pad(Math.floor(Math.abs(ahead) / 60))}:${pad(Math.abs(ahead) % 60)}`;
  return new Date(ms + ahead * 60_000).toISOString().replace('Z', zone);
}

/** "2024-02-29". @param {number} ms @param {Clock} clock */
export function dayOf(ms, clock) {
  const date = new Date(ms);
  if (clock === 'utc') return date.toISOString().slice(0, -14);
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
}

/** "12 s", "3 min", "2 h", "5 d" before now; "in …" after it.
 * @param {number} ms @param {number} now */
export function ago(ms, now) {
  const seconds = (now - ms) / 1000;
  if (seconds < -1) return `in ${span(-seconds)}`;
  return seconds < 1 ? 'now' : `${span(seconds)} ago`;
}

/** @param {number} seconds */
export function span(seconds) {
  if (seconds < 10) return `${Math.round(seconds * 10) / 10} s`;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129_600) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** Return a time in all its forms, for a tooltip. @param {number} ms @param {number} now */
export function fullTime(ms, now) {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return 'no readable time';
  const local = date.toLocaleString(undefined, { dateStyle: 'full', timeStyle: 'long' });
  return `${local}\n${date.toISOString()}\n${ago(ms, now)}`;
}

/** "1,234". @param {number} n */
export const figure = (n) => n.toLocaleString('en');

/** "1.2k", "3.4M": for chips. @param {number} n */
export function short(n) {
  if (n < 1_000) return String(n);
  const [value, unit] = n < 999_500 ? [n / 1_000, 'k'] : [n / 1_000_000, 'M'];
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)}${unit}`;
}

/** "4.2/s". @param {number} rate */
export function perSecond(rate) {
  return `${rate < 9.95 ? Math.round(rate * 10) / 10 : short(Math.round(rate))}/s`;
}

/** "64 MiB". @param {number} n */
export function bytes(n) {
  if (n < 1024) return `${n} B`;
  const unit = Math.min(3, Math.floor(Math.log2(n) / 10));
  const value = n / 1024 ** unit;
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${['', 'KiB', 'MiB', 'GiB'][unit]}`;
}

/** @param {number} n @param {string} one @param {string} [many] */
export const count = (n, one, many = `${one}s`) => `${figure(n)} ${n === 1 ? one : many}`;
