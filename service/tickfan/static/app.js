/**
 * The page: what is subscribed stands in the form and in the address, so that a link shows
 * the same. The one module that knows everyone.
 */

import { backOff, connect } from "./connection.js";
import { Feeds } from "./feeds.js";
import { Latest } from "./latest.js";
import { Tape } from "./tape.js";
import { time } from "./times.js";

/**
 * @typedef {import("./connection.js").Message} Message
 * @typedef {import("./connection.js").Row} Row
 * @typedef {import("./feeds.js").Feed} Feed
 */

const EVENTS_MAX = 100;
/** A feed of more channels is not subscribed as a whole unless somebody asks for it. */
const WHOLE_FEED_MAX = 200;
const SAMPLE = 20;
/** Ten times a second is more than an eye takes in; each frame would be a core. */
const PAINT_MS = 100;
const MINUTE_MS = 60_000;

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
const latest = new Latest(find("#latest", HTMLElement), find("#more", HTMLElement));
const tape = new Tape(find("#tape", HTMLElement));
const feeds = new Feeds();

/** Also right below a path, behind a proxy that takes it away; without a password of the address. */
const base = new URL(".", location.href);

let received = 0;
let close = () => {};
/** Whether anything was ever asked for, by the address or in the form. */
let isAsked = false;
/** The run of the replica that answered last: another may have other feeds. */
let epoch = "";
/** Of the connection; a feed that RabbitMQ does not feed shows over "live". */
let connection = { state: "connecting", text: "Connecting" };
/** @type {Map<string, string>} of each feed that is subscribed: starting, live or stale */
const upstreams = new Map();
/** @type {Set<string>} of the feeds that are subscribed: some values may have changed unseen */
const unconfirmed = new Set();

/**
 * @param {string} list
 * @returns {string[]} its names and patterns, each once
 */
function namesIn(list) {
  return [...new Set(list.split(/[,\s]+/).filter(Boolean))];
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
  isAsked = true;
  const names = namesIn(channels.value);
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
  let isLost = false;
  close = connect(address.href, { channels: names, interval_ms: Number(interval.value) || undefined }, {
    state(name, text) {
      become(name, text);
      // Of an outage its begin and its end: its attempts would push out what else was told.
      if (name === "closed" || (name === "waiting" && !isLost)) tell(text);
      if (name === "live" && isLost) tell("Live again");
      isLost = name === "waiting" || (isLost && name !== "live");
    },
    message: hear,
  });
}

/** @param {Message} message */
function hear(message) {
  if (message.t === "updates") {
    received += message.u.length;
    if (message.snapshot) message.u.forEach(recall);
    // Of the live ones, those of lossless feeds come with a cursor.
    else if (message.c !== undefined) for (const row of message.u) tape.take(feedOf(row[0]), [row]);
    else for (const row of message.u) {
      const feed = feedOf(row[0]);
      // What comes while its feed is not live is from before.
      latest.take(row, feed, (upstreams.get(feed) ?? "live") !== "live");
    }
  } else if (message.t === "error") {
    tell(`${message.code}: ${message.message}`);
  } else if (message.t === "gap") {
    mark(feedOf(message.channel), `gap in ${message.channel}: one update could not be delivered (${message.reason})`);
  } else if (message.t === "reset") {
    mark(message.feed, `reset of ${message.feed}: what follows does not follow what came before (${message.reason})`);
  } else if (message.t === "subscribed") {
    // What stays from before is out of date until it comes again.
    latest.doubt(true);
    unconfirmed.clear();
    for (const granted of message.channels) {
      upstreams.set(granted.feed, "");
      upstream(granted.feed, granted.upstream);
      if (granted.snapshot === "unconfirmed") unconfirmed.add(granted.feed);
    }
    if (epoch && epoch !== message.epoch) void list().catch(() => {});
    epoch = message.epoch;
  } else if (message.t === "status") {
    upstream(message.feed, message.upstream);
    latest.doubt(message.upstream !== "live" || message.unconfirmed > 0, message.feed);
    const doubt = message.unconfirmed
      ? `; ${message.unconfirmed} values may have changed unseen, until their next update` : "";
    tell(`${message.feed} is ${message.upstream}${doubt}`);
  } else if (message.t === "heartbeat") {
    for (const [feed, now] of Object.entries(message.upstream)) upstream(feed, now);
  }
}

/** @param {Row} row of a snapshot: a newest value, or the state of a lossless channel and what followed */
function recall(row) {
  const feed = feeds.of(row[0]);
  // Without the list of feeds: most conflated rows say no `prev`.
  const name = feed?.feed ?? "";
  if (feed ? feed.delivery === "lossless" : row.length > 4) tape.take(name, [row]);
  else latest.take(row, name, unconfirmed.has(name));
}

/**
 * @param {string} channel
 * @returns {string} without the list of feeds: none
 */
function feedOf(channel) {
  return feeds.of(channel)?.feed ?? "";
}

/**
 * @param {string} feed
 * @param {string} line
 */
function mark(feed, line) {
  tape.take(feed, [line]);
  tell(line);
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
  const names = namesIn(channels.value);
  for (const chip of chips.querySelectorAll("button")) {
    const isOn = namesIn(chip.dataset.bind ?? "").every((bind) => names.includes(bind));
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
    const names = namesIn(channels.value);
    const others = names.filter((name) => !feed.bind.includes(name));
    const isOn = feed.bind.every((bind) => names.includes(bind));
    channels.value = (isOn ? others : [...others, ...feed.bind]).join(", ");
    subscribe();
  };
  chips.append(chip);
  upstream(feed.feed, feed.upstream);
}

/** List the feeds. */
async function list() {
  feeds.set((await ask("v1/channels?limit=1")).feeds);
  chips.textContent = "";
  feeds.all.forEach(addChip);
  press();
}

/**
 * What to show to somebody who has not said: prices, and one feed's every update.
 * @returns {Promise<string[]>}
 */
async function proposal() {
  const first = feeds.all.find((feed) => feed.delivery === "lossless");
  const chosen = feeds.all.filter((feed) => feed.delivery === "conflated" || feed === first);
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

/** Take from the address what it says of the form. */
function fill() {
  const query = new URLSearchParams(location.search);
  channels.value = namesIn(query.getAll("channels").join(",")).join(", ");
  const ms = query.get("interval_ms") ?? "";
  if (/^[1-9]\d{0,8}$/.test(ms)) {
    if (![...interval.options].some((option) => option.value === ms)) interval.add(new Option(`${ms} ms`, ms));
    interval.value = ms;
  } else if (ms) {
    tell(`interval_ms=${ms} in the address is no number of milliseconds`);
  }
  return query.has("channels");
}

/** The feeds first, however long it takes: they tell which table a channel belongs to. */
async function start() {
  const isInAddress = fill();
  for (let attempts = 0; ; attempts += 1) {
    try {
      await list();
      const proposed = isInAddress ? [] : await proposal();
      // Somebody may have been faster.
      if (isAsked) return;
      if (!isInAddress && !channels.value) channels.value = proposed.join(", ");
      subscribe();
      return;
    } catch (error) {
      if (!isAsked) become("waiting", `The feeds could not be listed. ${error}`);
      await new Promise((done) => setTimeout(done, backOff(attempts)));
    }
  }
}

function paint() {
  latest.paint();
  tape.paint();
  setTimeout(requestAnimationFrame, PAINT_MS, paint);
}

form.onsubmit = (event) => {
  event.preventDefault();
  subscribe();
};
interval.onchange = subscribe;
// A page that is kept for the way back would hold its connection, and read nothing.
addEventListener("pagehide", () => close());
addEventListener("pageshow", (event) => event.persisted && isAsked && subscribe());
setInterval(() => {
  rate.textContent = `${received.toLocaleString()} updates/s`;
  received = 0;
}, 1000);
setInterval(() => {
  latest.retime();
  tape.retime();
}, MINUTE_MS);
become("connecting", "Connecting");
requestAnimationFrame(paint);
void start();
