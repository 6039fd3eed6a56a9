/**
 * The newest value of each channel, by name, painted once a frame.
 * Must not know the connection.
 */

import { Value, time } from "./value.js";

/** @typedef {import("./connection.js").Row} Row */

/** More rows than anybody reads, and few enough for a frame. */
const ROWS_MAX = 500;

/**
 * A line of the table, and the update that it is to show (null: it shows the newest).
 * @typedef {{line: HTMLTableRowElement, value: Value, time: HTMLTableCellElement, due: Row | null}} Entry
 */

export class Latest {
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  /** @type {string[]} */
  #names = [];
  /** @type {Set<Entry>} */
  #due = new Set();
  #isCut = false;

  /**
   * @param {HTMLTableSectionElement} body
   * @param {HTMLElement} more where it says what is not shown
   */
  constructor(body, more) {
    this.body = body;
    this.more = more;
  }

  /** @param {Row[]} rows */
  take(rows) {
    for (const row of rows) {
      const entry = this.#entries.get(row[0]) ?? this.#add(row[0]);
      if (!entry) continue;
      entry.due = row;
      this.#due.add(entry);
    }
  }

  /** Show what has come since the last frame. */
  paint() {
    for (const entry of this.#due) {
      const [, , ts, data] = /** @type {Row} */ (entry.due);
      entry.value.show(data);
      entry.time.textContent = time(ts);
    }
    this.#due.clear();
    if (this.#isCut && this.more.hidden) {
      this.more.textContent = `Only ${ROWS_MAX} channels are shown: subscribe to fewer to see the others.`;
      this.more.hidden = false;
    }
  }

  /** Forget everything: another subscription begins. */
  clear() {
    this.#entries.clear();
    this.#due.clear();
    this.#names = [];
    this.#isCut = false;
    this.body.textContent = "";
    this.more.hidden = true;
  }

  /**
   * @param {string} name
   * @returns {Entry | undefined} undefined: there are ROWS_MAX already
   */
  #add(name) {
    if (this.#names.length >= ROWS_MAX) {
      this.#isCut = true;
      return undefined;
    }
    let at = this.#names.findIndex((other) => other > name);
    if (at < 0) at = this.#names.length;
    this.#names.splice(at, 0, name);
    const line = this.body.insertRow(at);
    line.insertCell().textContent = name;
    const value = new Value(line.insertCell());
    const cell = line.insertCell();
    cell.className = "time";
    const entry = { line, value, time: cell, due: null };
    this.#entries.set(name, entry);
    return entry;
  }
}
