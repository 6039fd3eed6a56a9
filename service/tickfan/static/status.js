/**
 * How far what is shown can be trusted: the connection, the feeds behind it, and how many
 * values are confirmed. Must not know the protocol.
 */

import { age, clock } from "./times.js";

/**
 * @typedef {import("./connection.js").State} State
 * @typedef {{confirmed: number, old: Map<string, number>}} Count of the values that are shown: those
 *   that are confirmed, and of each feed those that are not
 * @typedef {{name: string, since: number | undefined}} Upstream of a feed: starting, live or stale,
 *   and since when, where that is known: in ms since 1970 UTC of this browser's clock
 */

export class Status {
  /** @type {State} */
  #connection = "connecting";
  #text = "Connecting";
  /** Whether it is still the first attempt. */
  #isFirst = true;
  /** When it was opened or lost last. */
  #since = Date.now();
  /** Since when all that is shown is confirmed. */
  #liveSince = 0;
  /** @type {Map<string, Upstream>} */
  #upstreams = new Map();
  /** How far the clock of the service is ahead of this one, in ms. */
  #ahead = 0;
  /** @type {Count} */
  #count = { confirmed: 0, old: new Map() };

  /**
   * @param {HTMLElement} state told at each change, also by a screen reader
   * @param {HTMLElement} since how long ago that was
   * @param {HTMLElement} why told as `state`
   * @param {HTMLElement} confirmed how many values are confirmed
   */
  constructor(state, since, why, confirmed) {
    this.state = state;
    this.since = since;
    this.why = why;
    this.confirmed = confirmed;
  }

  /** @returns {boolean} */
  get isConnected() {
    return this.#connection === "live";
  }

  /**
   * @param {State} connection
   * @param {string} text
   */
  become(connection, text) {
    if (this.isConnected !== (connection === "live")) this.#since = Date.now();
    this.#connection = connection;
    this.#text = text;
    this.#isFirst &&= connection === "connecting";
    this.show();
  }

  /**
   * Forget the feeds: what is granted is about to be told.
   * @param {number} now the service's clock, in ms since 1970 UTC
   */
  restart(now) {
    this.#ahead = now - Date.now();
    this.#upstreams.clear();
  }

  /** Nothing is subscribed any more. */
  clear() {
    this.#connection = "connecting";
    this.#isFirst = true;
    this.#since = Date.now();
    this.#upstreams.clear();
    this.#count = { confirmed: 0, old: new Map() };
  }

  /**
   * @param {string} feed
   * @param {string} name
   * @param {number} [since] ms since 1970 UTC, of the service's clock
   */
  upstream(feed, name, since) {
    if (since === undefined && this.#upstreams.get(feed)?.name === name) return;
    this.#upstreams.set(feed, { name, since: since && since - this.#ahead });
    this.show();
  }

  /**
   * @param {string} feed
   * @returns {boolean}
   */
  isSubscribed(feed) {
    return this.#upstreams.has(feed);
  }

  /**
   * Whether what is shown of a feed may be out of date.
   * @param {string} feed
   * @returns {boolean}
   */
  isLate(feed) {
    return !this.isConnected || (this.#upstreams.get(feed)?.name ?? "live") !== "live";
  }

  /**
   * How a feed is doing at this moment: its name for the style sheet, and for people.
   * @param {string} feed
   * @returns {{name: string, text: string} | undefined}
   */
  of(feed) {
    const now = this.isConnected ? this.#upstreams.get(feed) : undefined;
    const old = this.#count.old.get(feed);
    if (!now) return undefined;
    if (now.name === "live") return old ? { name: "unconfirmed", text: `${old} not confirmed` } : { name: "live", text: "live" };
    return { name: now.name, text: now.since ? `${now.name} for ${age(now.since)}` : now.name };
  }

  /** @param {Count} count */
  count(count) {
    if (count === this.#count) return;
    this.#count = count;
    this.show();
  }

  /** Prices that may be old must not look like prices that are not. */
  show() {
    const old = [...this.#count.old.values()].reduce((sum, some) => sum + some, 0);
    const late = [...this.#upstreams].filter(([, { name }]) => name !== "live");
    let [name, text, since] = [/** @type {string} */ (this.#connection), this.#text, this.#since];
    let why = "";
    if (!this.isConnected) {
      if (!this.#isFirst) [text, why] = [`Not connected since ${clock(since)}`, text];
    } else if (late.length) {
      name = "stale";
      text = late.map(([feed, now]) => `${feed} is ${now.name}${now.since ? ` since ${clock(now.since)}` : ""}`).join(", ");
      since = Math.min(...late.map(([, now]) => now.since ?? since));
    } else if (old) {
      name = "unconfirmed";
      text = `Connected since ${clock(since)}`;
    } else {
      if (document.body.dataset.state !== "live") this.#liveSince = Date.now();
      since = this.#liveSince;
      text = `Live since ${clock(since)}`;
    }
    document.body.dataset.state = name;
    say(this.state, text);
    say(this.why, why);
    this.since.dataset.since = String(since);
    this.since.dataset.word = late.length > 1 && name === "stale" ? "for up to" : "for";
    this.age();
    const { confirmed } = this.#count;
    const values = `${confirmed} ${confirmed === 1 ? "value" : "values"} confirmed`;
    this.confirmed.textContent = old ? `${values}, ${old} not confirmed` : confirmed ? values : "";
  }

  /** Say anew how long ago it was. */
  age() {
    const { since, word } = this.since.dataset;
    this.since.textContent = `${word} ${age(Number(since))}`;
  }
}

/**
 * To say the same again would have a screen reader say it again.
 * @param {HTMLElement} element
 * @param {string} text
 */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
