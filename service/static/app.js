/**
 * The page: what is subscribed stands in the form and in the address, so that a link shows
 * the same. The one module that knows everyone.
 */

import { connect } from "./connection.js";
import { Latest } from "./latest.js";
import { Tape } from "./tape.js";
import { time } from "./value.js";

/**
 * @typedef {import("./connection.js").Message} Message
 * @typedef {{feed: string, bind: string[], delivery: string, channels: number, upstream: string}} Feed
 */

const EVENTS_MAX = 20;
/** A feed of more channels is not subscribed as a whole unless somebody asks for it. */
const WHOLE_FEED_MAX = 200;
const SAMPLE = 20;

/**
 * @template {Element} T
 * @param {string} selector
 * @param {new (...args: any[]) => T} type
 * @returns {T}
 */
function find(selector, type) {
  const found = document.querySelector(selector);
  if (!(found instanceof type)) throw new Error(`the page has no ${selector}`);
  return found;
}

const form = find("#subscription", HTMLFormElement);
const channels = find("#channels", HTMLInputElement);
const interval = find("#interval", HTMLSelectElement);
const state = find("#state", HTMLElement);
const rate = find("#rate", HTMLElement);
const chips = find("#feeds", HTMLElement);
const events = find("#events", HTMLOListElement);
const curl = find("#curl", HTMLElement);
const latest = new Latest(find("#latest tbody", HTMLTableSectionElement), find("#more", HTMLElement));
const tape = new Tape(find("#tape tbody", HTMLTableSectionElement));

/** Also right below a path, behind a proxy that takes it away. */
const base = new URL(".", document.baseURI);

let received = 0;
let close = () => {};
/** Of the connection; a feed that RabbitMQ does not feed shows over "live". */
let connection = { state: "connecting", text: "Connecting" };
/** @type {Map<string, string>} of each feed that is subscribed: starting, live or stale */
const upstreams = new Map();

/** @returns {string[]} the names and patterns of the form, each once */
function wanted() {
  return [...new Set(channels.value.split(",").map((name) => name.trim()).filter(Boolean))];
}

/** @param {string} line */
function tell(line) {
  const item = document.createElement("li");
  item.textContent = `${time(Date.now())}  ${line}`;
  events.prepend(item);
  while (events.children.length > EVENTS_MAX) events.lastElementChild?.remove();
}

/** Prices that may be old must not look like prices that are not. */
function show() {
  const late = [...upstreams].filter(([, now]) => now !== "live").map(([feed, now]) => `${feed} is ${now}`);
  const isLate = connection.state === "live" && late.length > 0;
  document.body.dataset.state = isLate ? "stale" : connection.state;
  state.textContent = isLate ? late.join(", ") : connection.text;
}

/**
 * @param {string} name
 * @param {string} text
 */
function become(name, text) {
  connection = { state: name, text };
  show();
}

/** Subscribe to what the form says, instead of what was. */
function subscribe() {
  close();
  close = () => {};
  latest.clear();
  tape.clear();
  upstreams.clear();
  const names = wanted();
  const query = `?${new URLSearchParams({
    channels: names.join(","), ...(interval.value && { interval_ms: interval.value }),
  })}`.replaceAll("%2C", ",");
  history.replaceState(null, "", query);
  curl.textContent = `curl -N '${new URL("v1/sse", base)}${query}'`;
  press();
  if (!names.length) {
    become("closed", "Nothing is subscribed: name a channel, or choose a feed");
    return;
  }
  const address = new URL("v1/ws", base);
  address.protocol = address.protocol.replace("http", "ws");
  const interval_ms = Number(interval.value) || undefined;
  close = connect(address.href, { channels: names, interval_ms }, {
    state(name, text) {
      become(name, text);
      if (name !== "live" && name !== "connecting") tell(text);
    },
    updates(rows, isLossless) {
      received += rows.length;
      (isLossless ? tape : latest).take(rows);
    },
    event: hear,
  });
}

/** @param {Message} message */
function hear(message) {
  if (message.t === "error") {
    tell(`${message.code}: ${message.message}`);
  } else if (message.t === "gap") {
    const line = `gap in ${message.channel}: one update could not be delivered (${message.reason})`;
    tape.mark(line);
    tell(line);
  } else if (message.t === "reset") {
    const line = `reset of ${message.feed}: what follows does not follow what came before (${message.reason})`;
    tape.mark(line);
    tell(line);
  } else if (message.t === "subscribed") {
    for (const granted of message.channels) {
      upstreams.set(granted.feed, "");
      upstream(granted.feed, granted.upstream);
    }
  } else if (message.t === "status") {
    upstream(message.feed, message.upstream);
    const doubt = message.unconfirmed
      ? `; ${message.unconfirmed} values may have changed unseen, until their next update` : "";
    tell(`${message.feed} is ${message.upstream}${doubt}`);
  } else if (message.t === "heartbeat") {
    for (const [feed, now] of Object.entries(message.upstream)) upstream(feed, now);
  }
}

/**
 * @param {string} feed
 * @param {string} now
 */
function upstream(feed, now) {
  if (upstreams.has(feed)) {
    upstreams.set(feed, now);
    show();
  }
  const chip = chips.querySelector(`[data-feed="${CSS.escape(feed)}"]`);
  if (chip instanceof HTMLElement) {
    chip.dataset.upstream = now;
    chip.title = now;
  }
}

/** The chips of the feeds that are subscribed as a whole are pressed. */
function press() {
  const names = wanted();
  for (const chip of chips.querySelectorAll("button")) {
    const isOn = (chip.dataset.bind ?? "").split(",").every((bind) => names.includes(bind));
    chip.setAttribute("aria-pressed", String(isOn));
  }
}

/** @param {Feed} feed */
function addChip(feed) {
  const chip = document.createElement("button");
  chip.type = "button";
  chip.textContent = feed.feed;
  chip.dataset.feed = feed.feed;
  chip.dataset.bind = feed.bind.join(",");
  chip.onclick = () => {
    const names = wanted();
    const others = names.filter((name) => !feed.bind.includes(name));
    const isOn = feed.bind.every((bind) => names.includes(bind));
    channels.value = (isOn ? others : [...others, ...feed.bind]).join(", ");
    subscribe();
  };
  chips.append(chip);
  upstream(feed.feed, feed.upstream);
}

/**
 * What to show to somebody who has not said: prices, and one feed's every update.
 * @param {Feed[]} feeds
 * @returns {Promise<string[]>}
 */
async function proposal(feeds) {
  const first = feeds.find((feed) => feed.delivery === "lossless");
  const chosen = feeds.filter((feed) => feed.delivery === "conflated" || feed === first);
  const found = await Promise.all(chosen.map(async (feed) => {
    if (feed.channels <= WHOLE_FEED_MAX) return feed.bind;
    const [pattern = "#"] = feed.bind;
    const some = await ask(`v1/channels?${new URLSearchParams({ pattern, limit: String(SAMPLE) })}`);
    return some.channels.map((/** @type {{channel: string}} */ one) => one.channel);
  }));
  return found.flat();
}

/**
 * @param {string} path
 * @returns {Promise<any>}
 */
async function ask(path) {
  const answer = await fetch(new URL(path, base));
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

async function start() {
  const query = new URLSearchParams(location.search);
  channels.value = query.getAll("channels").join(", ");
  interval.value = query.get("interval_ms") ?? "";
  try {
    const { feeds } = await ask("v1/channels?limit=1");
    feeds.forEach(addChip);
    if (!query.has("channels")) channels.value = (await proposal(feeds)).join(", ");
  } catch (error) {
    tell(`The feeds could not be listed (${error})`);
  }
  subscribe();
}

function paint() {
  latest.paint();
  tape.paint();
  requestAnimationFrame(paint);
}

form.onsubmit = (event) => {
  event.preventDefault();
  subscribe();
};
interval.onchange = subscribe;
// A page that is kept for the way back would hold its connection, and read nothing.
addEventListener("pagehide", () => close());
addEventListener("pageshow", (event) => event.persisted && subscribe());
setInterval(() => {
  rate.textContent = `${received.toLocaleString()} updates/s`;
  received = 0;
}, 1000);
requestAnimationFrame(paint);
void start();
