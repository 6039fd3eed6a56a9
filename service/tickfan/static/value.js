/**
 * A value in a table's cell. What came over the wire is only ever shown as text.
 * Must not know where it came from.
 */

const FIELDS_MAX = 12;
const TEXT_MAX = 160;
/** A longer text has a line of its own. */
const SHORT = 12;
const HALF_A_DAY_MS = 43_200_000;

/**
 * The text of any JSON value, cut at TEXT_MAX characters.
 * @param {unknown} data
 * @returns {string}
 */
export function text(data) {
  const whole = typeof data === "string" ? data : JSON.stringify(data);
  return whole.length > TEXT_MAX ? `${whole.slice(0, TEXT_MAX)}…` : whole;
}

/**
 * The local time of an update with its milliseconds, and its date unless it is of these hours:
 * an old price must not look like a new one.
 * @param {number} ts ms since 1970 UTC
 * @returns {string}
 */
export function time(ts) {
  const at = new Date(ts);
  if (Number.isNaN(at.getTime())) return String(ts);
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  const isNear = Math.abs(Date.now() - ts) < HALF_A_DAY_MS;
  const date = isNear ? "" : `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} `;
  const ms = String(at.getMilliseconds()).padStart(3, "0");
  return `${date}${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${ms}`;
}

/** One cell; an object's fields stand side by side, and a number keeps the colour of its last move. */
export class Value {
  /** @type {Map<string, Text>} */
  #fields = new Map();
  /** Of the object that is laid out, those that are not shown too; -1: it is none. */
  #count = -1;

  /** @param {HTMLTableCellElement} cell */
  constructor(cell) {
    this.box = document.createElement("div");
    this.box.className = "value";
    cell.append(this.box);
  }

  /** @param {unknown} data */
  show(data) {
    if (data === null || typeof data !== "object" || Array.isArray(data)) {
      this.#fields.clear();
      this.#count = -1;
      this.box.textContent = text(data);
      return;
    }
    const all = Object.entries(data);
    const entries = all.slice(0, FIELDS_MAX);
    if (all.length !== this.#count || !entries.every(([name]) => this.#fields.has(name))) {
      this.#layOut(entries.map(([name]) => name), all.length);
    }
    for (const [name, value] of entries) {
      const node = this.#fields.get(name);
      const now = text(value);
      if (!node?.parentElement || node.data === now) continue;
      if (now.length > SHORT) node.parentElement.parentElement?.classList.add("wide");
      const move = Number(now) - Number(node.data || NaN);
      node.parentElement.className = move > 0 ? "up" : move < 0 ? "down" : "";
      node.data = now;
    }
  }

  /**
   * @param {string[]} names
   * @param {number} count of all fields
   */
  #layOut(names, count) {
    this.#fields.clear();
    this.#count = count;
    this.box.textContent = "";
    for (const name of names) {
      const field = document.createElement("span");
      field.className = "field";
      const label = document.createElement("i");
      label.textContent = text(name);
      const number = document.createElement("span");
      const node = document.createTextNode("");
      number.append(node);
      field.append(label, number);
      this.box.append(field);
      this.#fields.set(name, node);
    }
    if (count > names.length) {
      const more = document.createElement("span");
      more.className = "field wide";
      more.textContent = `and ${count - names.length} more fields`;
      this.box.append(more);
    }
  }
}
