/**
 * The newest updates of lossless feeds, one a line.
 * Must not know the connection.
 */

import { Value, time } from "./value.js";

/** @typedef {import("./connection.js").Row} Row */

const LINES_MAX = 100;

export class Tape {
  /** @type {(Row | string)[]} what came since it was painted; a string is a mark */
  #due = [];

  /** @param {HTMLTableSectionElement} body */
  constructor(body) {
    this.body = body;
  }

  /** @param {(Row | string)[]} rows updates, and marks: that here some are missing, and why */
  take(rows) {
    this.#due.push(...rows.slice(-LINES_MAX));
    // Nothing is painted while the page is hidden.
    if (this.#due.length > 2 * LINES_MAX) this.#due = this.#due.slice(-LINES_MAX);
  }

  /** Show what has come since the last time. */
  paint() {
    for (const due of this.#due.slice(-LINES_MAX)) {
      if (this.body.rows.length >= LINES_MAX) this.body.deleteRow(-1);
      const line = this.body.insertRow(0);
      if (typeof due === "string") {
        line.className = "break";
        const cell = line.insertCell();
        cell.colSpan = 3;
        cell.textContent = due;
        continue;
      }
      const [channel, , ts, data, , type] = due;
      line.dataset.ts = String(ts);
      const at = line.insertCell();
      at.className = "time";
      at.textContent = time(ts);
      line.insertCell().textContent = type ? `${channel} (${type})` : channel;
      new Value(line.insertCell()).show(data);
    }
    this.#due = [];
  }

  /** Say the times anew: what was of today some time ago may be of yesterday. */
  retime() {
    for (const line of this.body.rows) {
      const [cell] = line.cells;
      if (cell && line.dataset.ts) cell.textContent = time(Number(line.dataset.ts));
    }
  }

  /** Forget everything: another subscription begins. */
  clear() {
    this.#due = [];
    this.body.textContent = "";
  }
}
