/**
 * Times as people read them: of the clock and the zone of this browser.
 * Must not know what happened at them.
 */

const DAY_MS = 86_400_000;

/**
 * A time of the day in seconds, and its date unless it is of these hours: an old price must
 * not look like a new one.
 * @param {number} ts ms since 1970 UTC
 * @returns {string}
 */
export function clock(ts) {
  const at = new Date(ts);
  if (Number.isNaN(at.getTime())) return String(ts);
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  const isNear = Math.abs(Date.now() - ts) < DAY_MS / 2;
  const date = isNear ? "" : `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} `;
  return `${date}${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/**
 * As `clock`, with milliseconds.
 * @param {number} ts ms since 1970 UTC
 * @returns {string}
 */
export function time(ts) {
  const at = new Date(ts);
  if (Number.isNaN(at.getTime())) return String(ts);
  return `${clock(ts)}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}
