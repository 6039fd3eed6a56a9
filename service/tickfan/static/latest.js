/**
 * The newest value of each channel, by name. A value that may be out of date is marked.
 * Must not know the connection.
 */

import { Value, time } from "./value.js";

/** @typedef {import("./connection.js").Row} Row */

/** More rows than anybody reads, and few enough for a frame. */
const ROWS_MAX = 500;

/** A channel: what it is to show, and its line once it has been painted. */
class Entry {
  isOld = false;
  /** @type {{line: HTMLTableRowElement, value: Value, time: HTMLTableCellElement} | undefined} */
  shown;

  /**
   * @param {string} feed
   * @param {Row} row
   */
  constructor(feed, row) {
    this.feed = feed;
    this.row = row;
  }
}

export class Latest {
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  /** @type {string[]} of the lines, as they stand */
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

  /**
   * @param {Row} row
   * @param {string} feed
   * @param {boolean} isOld whether it may have been replaced unseen
   */
  take(row, feed, isOld) {
    let entry = this.#entries.get(row[0]);
    if (!entry) {
      if (this.#entries.size >= ROWS_MAX) {
        this.#isCut = true;
        return;
      }
      entry = new Entry(feed, row);
      this.#entries.set(row[0], entry);
    }
    entry.row = row;
    entry.isOld = isOld;
    this.#due.add(entry);
  }

  /**
   * From now on what is shown of a feed (none: of all) may be out of date, or is not any more.
   * @param {boolean} isOld
   * @param {string} [feed]
   */
  doubt(isOld, feed) {
    for (const entry of this.#entries.values()) {
      if (feed !== undefined && entry.feed !== feed) continue;
      entry.isOld = isOld;
      this.#due.add(entry);
    }
  }

  /** Show what has come since the last time. */
  paint() {
    for (const entry of this.#due) {
      const shown = entry.shown ?? this.#add(entry);
      shown.value.show(entry.row[3]);
      shown.time.textContent = time(entry.row[2]);
      shown.line.classList.toggle("old", entry.isOld);
    }
    this.#due.clear();
    if (this.#isCut && this.more.hidden) {
      this.more.textContent = `Only ${ROWS_MAX} channels are shown: subscribe to fewer to see the others.`;
      this.more.hidden = false;
    }
  }

  /** Say the times anew: what was of today some time ago may be of yesterday. */
  retime() {
    for (const { shown, row } of this.#entries.values()) {
      if (shown) shown.time.textContent = time(row[2]);
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

  /** @param {Entry} entry */
  #add(entry) {
    const [name] = entry.row;
    let at = this.#names.findIndex((other) => other > name);
    if (at < 0) at = this.#names.length;
    this.#names.splice(at, 0, name);
    const line = this.body.insertRow(at);
    line.insertCell().textContent = name;
    const value = new Value(line.insertCell());
    const cell = line.insertCell();
    cell.className = "time";
    entry.shown = { line, value, time: cell };
    return entry.shown;
  }
}
