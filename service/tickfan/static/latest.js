/**
 * The newest value of each channel, by name, in a table for each feed. A value that may be out
 * of date is marked. Must not know the connection.
 */

import { Table } from "./table.js";
import { time } from "./times.js";

/**
 * @typedef {import("./connection.js").Row} Row
 * @typedef {ReturnType<Table["insert"]>} Line
 */

/** More rows than anybody reads, and few enough for a frame. */
const ROWS_MAX = 500;

/** A channel: what it is to show, and its line once it has been painted. */
class Entry {
  isOld = false;
  /** @type {{table: Table, line: Line, time: HTMLElement} | undefined} */
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
  /** @type {Map<string, {table: Table, names: string[]}>} of each feed its lines, as they stand */
  #tables = new Map();
  /** @type {Set<Entry>} */
  #due = new Set();
  #isCut = false;
  /** @type {import("./status.js").Count} another one when it has changed */
  count = { confirmed: 0, old: new Map() };

  /**
   * @param {HTMLElement} box
   * @param {HTMLElement} more where it says what is not shown
   */
  constructor(box, more) {
    this.box = box;
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
    if (!this.#due.size) return;
    for (const entry of this.#due) {
      const { table, line, time: at } = entry.shown ?? this.#add(entry);
      table.show(line, entry.row[3]);
      at.textContent = time(entry.row[2]);
      line.row.classList.toggle("old", entry.isOld);
    }
    this.#due.clear();
    this.count = this.#counted();
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
    this.#tables.clear();
    this.#due.clear();
    this.#isCut = false;
    this.count = this.#counted();
    this.box.textContent = "";
    this.more.hidden = true;
  }

  #counted() {
    const old = new Map();
    let confirmed = 0;
    for (const { feed, isOld } of this.#entries.values()) {
      if (isOld) old.set(feed, (old.get(feed) ?? 0) + 1);
      else confirmed += 1;
    }
    return { confirmed, old };
  }

  /** @param {Entry} entry */
  #add(entry) {
    let of = this.#tables.get(entry.feed);
    if (!of) {
      of = { table: new Table(this.box, entry.feed, ["Channel", "Time"]), names: [] };
      this.#tables.set(entry.feed, of);
    }
    const { table, names } = of;
    const [name] = entry.row;
    let at = names.findIndex((other) => other > name);
    if (at < 0) at = names.length;
    names.splice(at, 0, name);
    const line = table.insert(at);
    line.add("channel", name, "th");
    entry.shown = { table, line, time: line.add("time", "") };
    return entry.shown;
  }
}
