/**
 * What was granted, and which of it covers a channel.
 * Must not know the connection, nor the page.
 */

/**
 * One entry of `subscribed`.
 * @typedef {{channel: string, feed: string, delivery: string, upstream: string, snapshot: string}} Grant
 */

export class Grants {
  /** @type {{words: string[], grant: Grant}[]} */
  #all = [];

  /** @param {Grant[]} grants instead of those before */
  set(grants) {
    this.#all = grants.map((grant) => ({ words: grant.channel.split("."), grant }));
  }

  /** @returns {string[]} the feeds, each once */
  get feeds() {
    return [...new Set(this.#all.map(({ grant }) => grant.feed))];
  }

  /**
   * The first that covers the channel.
   * @param {string} channel
   * @returns {Grant | undefined}
   */
  of(channel) {
    const name = channel.split(".");
    return this.#all.find(({ words }) => covers(words, name))?.grant;
  }
}

/**
 * Whether an AMQP pattern covers a name: `*` is one word, `#` any number, also none.
 * Only the last `#` is ever tried again, so no pattern takes long.
 * @param {string[]} pattern
 * @param {string[]} name
 * @returns {boolean}
 */
export function covers(pattern, name) {
  let at = 0;
  let word = 0;
  let many = -1;
  let from = 0;
  while (word < name.length) {
    if (pattern[at] === "#") {
      many = at;
      from = word;
      at += 1;
    } else if (at < pattern.length && (pattern[at] === "*" || pattern[at] === name[word])) {
      at += 1;
      word += 1;
    } else if (many >= 0) {
      from += 1;
      at = many + 1;
      word = from;
    } else {
      return false;
    }
  }
  while (pattern[at] === "#") at += 1;
  return at === pattern.length;
}
