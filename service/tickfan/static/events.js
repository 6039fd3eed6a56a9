/**
 * What happened, newest first: losses, refusals, cuts.
 * Must not know what is shown beside.
 */

import { clock, time } from "./times.js";

const EVENTS_MAX = 100;

export class Events {
  /**
   * @param {HTMLOListElement} list
   * @param {HTMLElement} empty what stands there as long as there is none
   */
  constructor(list, empty) {
    this.list = list;
    // More than that this page cannot know.
    empty.textContent = `No loss, refusal or cut was reported to this page since ${clock(Date.now())}.`;
  }

  /** @param {string} line */
  tell(line) {
    const item = document.createElement("li");
    const at = document.createElement("time");
    at.dataset.ts = String(Date.now());
    at.textContent = time(Date.now());
    item.append(at, ` ${line}`);
    this.list.prepend(item);
    while (this.list.children.length > EVENTS_MAX) this.list.lastElementChild?.remove();
  }

  /** Say the times anew: what was of today some time ago may be of yesterday. */
  retime() {
    for (const at of this.list.querySelectorAll("time")) at.textContent = time(Number(at.dataset.ts));
  }
}
