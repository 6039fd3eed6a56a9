/**
 * A value in a table's cell. What came over the wire is only ever shown as text.
 * Must not know where it came from.
 */

const FIELDS_MAX = 12;
const TEXT_MAX = 160;

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
    this.cell = cell;
    cell.className = "value";
  }

  /** @param {unknown} data */
  show(data) {
    if (data === null || typeof data !== "object" || Array.isArray(data)) {
      this.#fields.clear();
      this.cell.textContent = text(data);
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
      const move = Number(now) - Number(node.data || NaN);
      if (move) /** @type {HTMLElement} */ (node.parentNode).className = move > 0 ? "up" : "down";
      node.data = now;
    }
  }

  /**
   * @param {string[]} names
   * @param {number} count of all fields
   */
  #layOut(names, count) {
    this.#fields.clear();
    this.cell.textContent = "";
    for (const name of names) {
      const field = document.createElement("span");
      field.className = "field";
      const label = document.createElement("i");
      label.textContent = text(name);
      const number = document.createElement("span");
      const node = document.createTextNode("");
      number.append(node);
      field.append(label, " ", number);
      this.cell.append(field, " ");
      this.#fields.set(name, node);
    }
    if (count > names.length) this.cell.append(`and ${count - names.length} more fields`);
  }
}
