/**
 * The newest updates of lossless feeds, one a line, painted once a frame.
 * Must not know the connection.
 */

import { Value, time } from "./value.js";

/** @typedef {import("./connection.js").Row} Row */

const LINES_MAX = 100;

export class Tape {
  /** @type {(Row | string)[]} what came since the last frame; a string is a break */
  #due = [];

  /** @param {HTMLTableSectionElement} body */
  constructor(body) {
    this.body = body;
  }

  /** @param {Row[]} rows */
  take(rows) {
    this.#due.push(...rows.slice(-LINES_MAX));
    // No frame comes while the page is hidden.
    if (this.#due.length > 2 * LINES_MAX) this.#due = this.#due.slice(-LINES_MAX);
  }

  /**
   * Say between the updates that here some are missing.
   * @param {string} why
   */
  mark(why) {
    this.#due.push(why);
  }

  /** Show what has come since the last frame. */
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
      const at = line.insertCell();
      at.className = "time";
      at.textContent = time(ts);
      line.insertCell().textContent = type ? `${channel} (${type})` : channel;
      new Value(line.insertCell()).show(data);
    }
    this.#due = [];
  }

  /** Forget everything: another subscription begins. */
  clear() {
    this.#due = [];
    this.body.textContent = "";
  }
}
