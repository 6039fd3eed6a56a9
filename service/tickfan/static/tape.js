/**
 * The newest updates of lossless feeds, one a line, in a table for each feed: between feeds
 * there is no order. Must not know the connection.
 */

import { Table } from "./table.js";
import { time } from "./times.js";

/** @typedef {import("./connection.js").Row} Row */

/** Of one feed. */
const LINES_MAX = 100;
/** The most that HTML allows: as many columns as there are, and as will be. */
const ALL_COLUMNS = 1000;

export class Tape {
  /** @type {Map<string, (Row | string)[]>} of each feed what came since it was painted; a string is a mark */
  #due = new Map();
  /** @type {Map<string, Table>} */
  #tables = new Map();

  /** @param {HTMLElement} box */
  constructor(box) {
    this.box = box;
  }

  /**
   * @param {string} feed
   * @param {(Row | string)[]} rows updates, and marks: that here some are missing, and why
   */
  take(feed, rows) {
    const due = this.#due.get(feed) ?? [];
    due.push(...rows.slice(-LINES_MAX));
    // Nothing is painted while the page is hidden.
    this.#due.set(feed, due.length > 2 * LINES_MAX ? due.slice(-LINES_MAX) : due);
  }

  /**
   * Show what has come since the last time.
   * @param {(feed: string) => boolean} isLate whether newer updates of a feed may be missing
   */
  paint(isLate) {
    for (const [feed, rows] of this.#due) {
      let table = this.#tables.get(feed);
      if (!table) {
        table = new Table(this.box, feed, ["Time", "Channel"]);
        this.#tables.set(feed, table);
      }
      for (const row of rows.slice(-LINES_MAX)) add(table, row);
    }
    this.#due.clear();
    for (const [feed, table] of this.#tables) table.body.classList.toggle("old", isLate(feed));
  }

  /** Say the times anew: what was of today some time ago may be of yesterday. */
  retime() {
    for (const at of this.box.querySelectorAll("[data-ts]")) {
      if (at instanceof HTMLElement) at.textContent = time(Number(at.dataset.ts));
    }
  }

  /** Forget everything: another subscription begins. */
  clear() {
    this.#due.clear();
    this.#tables.clear();
    this.box.textContent = "";
  }
}

/**
 * @param {Table} table
 * @param {Row | string} row
 */
function add(table, row) {
  if (table.body.rows.length >= LINES_MAX) table.body.deleteRow(-1);
  const line = table.insert(0);
  if (typeof row === "string") {
    line.row.className = "break";
    line.add("", row).parentElement?.setAttribute("colspan", String(ALL_COLUMNS));
    return;
  }
  const [channel, , ts, data, , type] = row;
  line.add("time", time(ts)).dataset.ts = String(ts);
  line.add("channel", type ? `${channel} (${type})` : channel);
  table.show(line, data);
}
