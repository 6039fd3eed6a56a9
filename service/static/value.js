/**
 * A value in a table's cell. What came over the wire is only ever shown as text.
 * Must not know where it came from.
 */

const FIELDS_MAX = 12;
const TEXT_MAX = 160;
/** A longer text has a line of its own. */
const SHORT = 12;

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
 * The time of day of an update, with its milliseconds.
 * @param {number} ts ms since 1970 UTC
 * @returns {string}
 */
export function time(ts) {
  const at = new Date(ts);
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  const ms = String(at.getMilliseconds()).padStart(3, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${ms}`;
}

/** One cell; an object's fields stand side by side, and a number keeps the colour of its last move. */
export class Value {
  /** @type {Map<string, Text>} */
  #fields = new Map();

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
      this.box.textContent = text(data);
      return;
    }
    const entries = Object.entries(data).slice(0, FIELDS_MAX);
    if (entries.length !== this.#fields.size || !entries.every(([name]) => this.#fields.has(name))) {
      this.#layOut(entries.map(([name]) => name), Object.keys(data).length);
    }
    for (const [name, value] of entries) {
      const node = /** @type {Text} */ (this.#fields.get(name));
      const now = text(value);
      if (node.data === now) continue;
      if (now.length > SHORT) node.parentElement?.parentElement?.classList.add("wide");
      const move = Number(now) - Number(node.data || NaN);
      if (move && node.parentElement) node.parentElement.className = move > 0 ? "up" : "down";
      node.data = now;
    }
  }

  /**
   * @param {string[]} names
   * @param {number} count of all fields
   */
  #layOut(names, count) {
    this.#fields.clear();
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
    if (count > names.length) this.box.append(`and ${count - names.length} more fields`);
  }
}
