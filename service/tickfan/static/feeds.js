/**
 * The feeds of the service, and which of them a channel belongs to.
 * Must not know the connection, nor the page.
 */

/**
 * One entry of `feeds` in /v1/channels.
 * @typedef {{feed: string, bind: string[], delivery: string, channels: number, upstream: string}} Feed
 */

export class Feeds {
  /** @type {Feed[]} */
  all = [];
  /** @type {{words: string[], feed: Feed}[]} */
  #binds = [];

  /** @param {Feed[]} feeds instead of those before */
  set(feeds) {
    this.all = feeds;
    this.#binds = feeds.flatMap((feed) => feed.bind.map((bind) => ({ words: bind.split("."), feed })));
  }

  /**
   * Two feeds never cover the same channel.
   * @param {string} channel
   * @returns {Feed | undefined}
   */
  of(channel) {
    const name = channel.split(".");
    return this.#binds.find(({ words }) => covers(words, name))?.feed;
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
