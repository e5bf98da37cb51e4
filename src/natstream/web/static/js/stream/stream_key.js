// Which requests can share a stream. Pure.

// Values of these are separated by commas, so that `app=a,b` and `app=b&app=a` are equal.
const LISTS = /^(?:not_)?(?:app|region|machine|group|release|stream|level|type|source)$/;
// These only choose where the stream starts.
const STARTS = new Set(['tail', 'since', 'last_event_id']);

/** Return a text that is equal for the requests that get the same new lines.
 * @param {string} url of /api/logs */
export function streamKey(url) {
  const { origin, pathname, searchParams } = new URL(url);
  const pairs = [...searchParams].filter(([name]) => !STARTS.has(name)).flatMap(([name, value]) =>
    (LISTS.test(name) ? value.split(',').map((one) => one.trim()) : [value]).map((one) =>
      JSON.stringify([name, one])));
  return [origin + pathname, ...[...new Set(pairs)].sort()].join('\n');
}
