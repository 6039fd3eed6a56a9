/**
 * A button for each feed: whether it is subscribed as a whole, and how it is doing.
 * Must not know what is shown of a feed.
 */

/**
 * @typedef {import("./feeds.js").Feed} Feed
 */

/**
 * @param {string} list
 * @returns {string[]} its names and patterns, each once
 */
export function namesIn(list) {
  return [...new Set(list.split(/[,\s]+/).filter(Boolean))];
}

export class Chips {
  /**
   * @param {HTMLElement} box
   * @param {HTMLInputElement} channels what is asked for
   * @param {() => void} subscribe called when that has changed
   */
  constructor(box, channels, subscribe) {
    this.box = box;
    this.channels = channels;
    this.subscribe = subscribe;
  }

  /** @param {Feed[]} feeds instead of those before */
  set(feeds) {
    this.box.replaceChildren(...feeds.map((feed) => this.#make(feed)));
    this.press();
  }

  /** Those of the feeds that are subscribed as a whole are pressed. */
  press() {
    const names = namesIn(this.channels.value);
    for (const chip of this.box.querySelectorAll("button")) {
      const isOn = namesIn(chip.dataset.bind ?? "").every((bind) => names.includes(bind));
      chip.setAttribute("aria-pressed", String(isOn));
    }
  }

  /**
   * Say how each feed is doing.
   * @param {(feed: string) => {name: string, text: string} | undefined} of of a feed that is not
   *   subscribed nobody tells this page
   */
  label(of) {
    for (const chip of this.box.querySelectorAll("button")) {
      const now = of(chip.dataset.feed ?? "");
      chip.dataset.upstream = now?.name ?? "";
      const said = chip.querySelector("small");
      const text = now ? ` ${now.text}` : "";
      if (said && said.textContent !== text) said.textContent = text;
    }
  }

  /**
   * @param {Feed} feed
   * @returns {HTMLElement}
   */
  #make(feed) {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.append(feed.feed, document.createElement("small"));
    chip.dataset.feed = feed.feed;
    chip.dataset.bind = feed.bind.join(",");
    chip.onclick = () => {
      const names = namesIn(this.channels.value);
      const others = names.filter((name) => !feed.bind.includes(name));
      const isOn = feed.bind.every((bind) => names.includes(bind));
      this.channels.value = (isOn ? others : [...others, ...feed.bind]).join(", ");
      this.subscribe();
    };
    return chip;
  }
}
