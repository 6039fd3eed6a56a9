/**
 * The table of one feed: a column for each field. What came over the wire is only ever shown
 * as text. Must not know where it came from, nor what a line stands for.
 */

/** Of one value, and of one table. A field without a column stands in the last one, by name. */
const FIELDS_MAX = 12;
const TEXT_MAX = 160;
/** A longer text takes several lines; none that is shorter is ever broken. */
const SHORT = 24;

/** The column of a value that has no fields. */
const WHOLE = Symbol("Value");
/** The column of fields that have none. */
const OTHERS = Symbol("Other fields");

/**
 * The text of any JSON value, cut at TEXT_MAX characters.
 * @param {unknown} data
 * @returns {string}
 */
function text(data) {
  const whole = typeof data === "string" ? data : JSON.stringify(data);
  return whole.length > TEXT_MAX ? `${whole.slice(0, TEXT_MAX)}…` : whole;
}

/** @param {string} shown */
function isNumber(shown) {
  return shown !== "" && Number.isFinite(Number(shown));
}

/** @typedef {{at: number, title: string}} Column its place among the cells of a line */

export class Table {
  /** @type {Map<string | symbol, Column>} of each field */
  #columns = new Map();

  /**
   * @param {HTMLElement} parent
   * @param {string} name
   * @param {string[]} first the titles of the columns before those of the fields
   */
  constructor(parent, name, first) {
    const scroll = document.createElement("div");
    scroll.className = "scroll";
    // So that the arrow keys scroll it.
    scroll.tabIndex = 0;
    scroll.role = "region";
    scroll.ariaLabel = name;
    const table = document.createElement("table");
    table.createCaption().textContent = name;
    this.titles = table.createTHead().insertRow();
    for (const title of first) this.#addTitle(title, "");
    this.body = table.createTBody();
    scroll.append(table);
    parent.append(scroll);
  }

  /**
   * @param {number} at its place among the lines
   * @returns {Line}
   */
  insert(at) {
    return new Line(this.body.insertRow(at));
  }

  /**
   * @param {Line} line
   * @param {unknown} data in place of what the line shows
   */
  show(line, data) {
    const hasFields = data !== null && typeof data === "object" && !Array.isArray(data);
    /** @type {[string | symbol, unknown][]} */
    const all = hasFields ? Object.entries(data) : [[WHOLE, data]];
    /** @type {Set<Column>} */
    const filled = new Set();
    const put = (/** @type {Column} */ column, /** @type {string} */ now) => {
      line.put(column, now);
      filled.add(column);
    };
    const others = [];
    for (const [field, value] of all.slice(0, FIELDS_MAX)) {
      const now = text(value);
      // Whoever finds no place finds all columns taken: the last one stands behind them.
      const isFull = this.#columns.size >= FIELDS_MAX;
      const column = this.#columns.get(field) ?? (isFull ? undefined : this.#add(field, now));
      if (column) put(column, now);
      else others.push(typeof field === "string" ? `${text(field)} ${now}` : now);
    }
    const listed = others.length ? [text(others.join(", "))] : [];
    if (all.length > FIELDS_MAX) listed.push(`and ${all.length - FIELDS_MAX} more fields`);
    if (listed.length) put(this.#columns.get(OTHERS) ?? this.#add(OTHERS, ""), listed.join(", "));
    line.keep(filled);
  }

  /**
   * @param {string | symbol} field
   * @param {string} now its first value
   * @returns {Column}
   */
  #add(field, now) {
    const title = typeof field === "string" ? text(field) : field.description ?? "";
    const column = { at: this.titles.cells.length, title };
    this.#addTitle(title, isNumber(now) ? "number" : "");
    this.#columns.set(field, column);
    return column;
  }

  /**
   * @param {string} title
   * @param {string} kind
   */
  #addTitle(title, kind) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.className = kind;
    cell.textContent = title;
    this.titles.append(cell);
  }
}

/** A line; a number keeps the sign of its last move. */
class Line {
  /** @type {Map<Column, Text>} of each that is filled */
  #fields = new Map();

  /** @param {HTMLTableRowElement} row */
  constructor(row) {
    this.row = row;
  }

  /**
   * Add a cell of those before the fields.
   * @param {string} kind
   * @param {string} text
   * @param {string} [tag]
   * @returns {HTMLElement} what holds its text
   */
  add(kind, text, tag = "td") {
    const cell = document.createElement(tag);
    cell.className = text.length > SHORT ? `${kind} long` : kind;
    if (tag === "th") cell.setAttribute("scope", "row");
    this.row.append(cell);
    return fill(cell, text);
  }

  /**
   * @param {Column} column
   * @param {string} now
   */
  put(column, now) {
    const node = this.#fields.get(column);
    if (node?.data === now) return;
    while (this.row.cells.length <= column.at) this.row.insertCell();
    const cell = this.row.cells[column.at];
    if (!cell) return;
    cell.className = isNumber(now) ? "number" : now.length > SHORT ? "long" : "";
    if (node?.parentElement) {
      const move = isNumber(now) && isNumber(node.data) ? Number(now) - Number(node.data) : 0;
      node.parentElement.className = move > 0 ? "up" : move < 0 ? "down" : "";
      node.data = now;
    } else {
      const first = document.createTextNode(now);
      fill(cell, first);
      // Where there is no room for a line of titles, each cell has its own.
      cell.dataset.title = column.title;
      this.#fields.set(column, first);
    }
  }

  /** @param {Set<Column>} columns the others are empty from now on */
  keep(columns) {
    for (const column of this.#fields.keys()) {
      if (columns.has(column)) continue;
      this.#fields.delete(column);
      this.row.cells[column.at]?.replaceChildren();
    }
  }
}

/**
 * A cell holds one element: that is what is dimmed, once, and never what scrolls below it.
 * @param {HTMLElement} cell
 * @param {string | Text} text
 * @returns {HTMLElement}
 */
function fill(cell, text) {
  const box = document.createElement("span");
  box.append(text);
  cell.append(box);
  return box;
}
