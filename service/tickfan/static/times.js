/**
 * Times as people read them: of the clock and the zone of this browser.
 * Must not know what happened at them.
 */

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

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

/**
 * How long ago a time is, in its two largest units.
 * @param {number} ts ms since 1970 UTC
 * @returns {string} "8 s", "3 min", "2 h 5 min", "4 d 2 h"
 */
export function age(ts) {
  const ms = Math.max(0, Date.now() - ts);
  const whole = (/** @type {number} */ unit) => Math.floor(ms / unit);
  if (ms < MINUTE_MS) return `${whole(SECOND_MS)} s`;
  if (ms < HOUR_MS) return `${whole(MINUTE_MS)} min`;
  if (ms < DAY_MS) return `${whole(HOUR_MS)} h ${whole(MINUTE_MS) % 60} min`;
  return `${whole(DAY_MS)} d ${whole(HOUR_MS) % 24} h`;
}
