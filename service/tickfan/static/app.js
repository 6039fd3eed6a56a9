/**
 * The page: what is subscribed stands in the form and in the address, so that a link shows
 * the same. The one module that knows everyone.
 */

import { Chips, namesIn } from "./chips.js";
import { backOff, connect } from "./connection.js";
import { Events } from "./events.js";
import { Feeds } from "./feeds.js";
import { Latest } from "./latest.js";
import { Status } from "./status.js";
import { Tape } from "./tape.js";
import { clock } from "./times.js";

/**
 * @typedef {import("./connection.js").Message} Message
 * @typedef {import("./connection.js").Row} Row
 */

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
const rate = find("#rate", HTMLElement);
const chips = new Chips(find("#feeds", HTMLElement), channels, subscribe);
const events = new Events(find("#events", HTMLOListElement), find("#events + .empty", HTMLElement));
const simulated = find("#simulated", HTMLElement);
const curl = find("#curl", HTMLElement);
const named = find("#named", HTMLElement);
const connection = find("#connection", HTMLElement);
const legend = find("#legend", HTMLDetailsElement);
const noValue = find("#latest + .empty", HTMLElement);
const noUpdate = find("#tape + .empty", HTMLElement);
const latest = new Latest(find("#latest", HTMLElement), find("#more", HTMLElement));
const tape = new Tape(find("#tape", HTMLElement));
const status = new Status(
  find("#state", HTMLElement), find("#since", HTMLElement), find("#why", HTMLElement), find("#confirmed", HTMLElement),
);
const feeds = new Feeds();

/** Also right below a path, behind a proxy that takes it away; without a password of the address. */
const base = new URL(".", location.href);

let received = 0;
let close = () => {};
/** Whether anything was ever asked for, by the address or in the form. */
let isAsked = false;
/** Whether what was asked for last has been granted, at least once. */
let isAnswered = false;
/** The run of the replica that answered last: another may have other feeds. */
let epoch = "";
/** @type {Set<string>} of the feeds that are subscribed: some values may have changed unseen */
const unconfirmed = new Set();

/**
 * @param {import("./connection.js").State} name
 * @param {string} text
 */
function become(name, text) {
  // What comes after is a snapshot, or the connection is not there any more.
  if (name !== "live") latest.doubt(true);
  status.become(name, text);
  label();
}

/** Subscribe to what the form says, instead of what was. */
function subscribe() {
  close();
  close = () => {};
  latest.clear();
  tape.clear();
  status.clear();
  isAsked = true;
  isAnswered = false;
  noValue.textContent = noUpdate.textContent = "Nothing is subscribed yet.";
  const names = namesIn(channels.value);
  const query = `?${new URLSearchParams({
    channels: names.join(","), ...(interval.value && { interval_ms: interval.value }),
  })}`.replaceAll("%2C", ",");
  history.replaceState(null, "", query);
  curl.textContent = `curl -N '${new URL("v1/sse", base)}${query}'`;
  chips.press();
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
      if (name === "closed" || (name === "waiting" && !isLost)) events.tell(text);
      if (name === "live" && isLost) events.tell("Connected again");
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
      latest.take(row, feed, status.isLate(feed));
    }
  } else if (message.t === "welcome") {
    simulated.hidden = !message.simulated;
    // It stays when the connection is lost: an operator is asked for it just then.
    connection.textContent = message.connection;
    named.hidden = false;
  } else if (message.t === "error") {
    events.tell(`${message.code}: ${message.message}`);
  } else if (message.t === "gap") {
    mark(feedOf(message.channel), `gap in ${message.channel}: one update could not be delivered (${message.reason})`);
  } else if (message.t === "reset") {
    mark(message.feed, `reset of ${message.feed}: what follows does not follow what came before (${message.reason})`);
  } else if (message.t === "subscribed") {
    grant(message);
  } else if (message.t === "status") {
    upstream(message.feed, message.upstream, message.since);
    latest.doubt(message.upstream !== "live" || message.unconfirmed > 0, message.feed);
    const doubt = message.unconfirmed
      ? `; ${message.unconfirmed} values may have changed unseen, until their next update` : "";
    events.tell(`${message.feed} is ${message.upstream}${doubt}`);
  } else if (message.t === "heartbeat") {
    for (const [feed, now] of Object.entries(message.upstream)) {
      if (status.isSubscribed(feed)) upstream(feed, now);
    }
  }
}

/** @param {Message} message what is subscribed from now on */
function grant(message) {
  // What stays from before is out of date until it comes again.
  latest.doubt(true);
  unconfirmed.clear();
  status.restart(message.server_time);
  const deliveries = new Set();
  for (const granted of message.channels) {
    status.upstream(granted.feed, granted.upstream, granted.since);
    deliveries.add(granted.delivery);
    if (granted.snapshot === "unconfirmed") unconfirmed.add(granted.feed);
  }
  label();
  explain(noValue, deliveries.has("conflated"),
    "No value yet since this replica started.", "No conflated feed is subscribed.");
  // An earlier time holds, too: what came after it would be shown.
  if (!isAnswered) explain(noUpdate, deliveries.has("lossless"),
    `No update yet since ${clock(Date.now())}, when this page subscribed.`, "No lossless feed is subscribed.");
  isAnswered = true;
  if (epoch && epoch !== message.epoch) void list().catch(() => {});
  epoch = message.epoch;
}

/**
 * Say why a table is empty.
 * @param {HTMLElement} empty
 * @param {boolean} isUsed
 * @param {string} used
 * @param {string} unused
 */
function explain(empty, isUsed, used, unused) {
  empty.textContent = isUsed ? used : unused;
  empty.parentElement?.classList.toggle("unused", !isUsed);
}

/**
 * @param {string} channel
 * @returns {string} without the list of feeds: none
 */
function feedOf(channel) {
  return feeds.of(channel)?.feed ?? "";
}

/** @param {Row} row of a snapshot: a newest value, or the state of a lossless channel and what followed */
function recall(row) {
  const feed = feeds.of(row[0]);
  const name = feed?.feed ?? "";
  // Without the list of feeds: most conflated rows say no `prev`.
  if (feed ? feed.delivery === "lossless" : row.length > 4) tape.take(name, [row]);
  else latest.take(row, name, unconfirmed.has(name) || status.isLate(name));
}

/**
 * @param {string} feed
 * @param {string} line
 */
function mark(feed, line) {
  tape.take(feed, [line]);
  events.tell(line);
}

/**
 * @param {string} feed
 * @param {string} name
 * @param {number} [since] ms since 1970 UTC, of the service's clock
 */
function upstream(feed, name, since) {
  status.upstream(feed, name, since);
  label();
}

function label() {
  chips.label((feed) => status.of(feed));
}

/** List the feeds. */
async function list() {
  feeds.set((await ask("v1/channels?limit=1")).feeds);
  chips.set(feeds.all);
  label();
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
    events.tell(`interval_ms=${ms} in the address is no number of milliseconds`);
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
  tape.paint((feed) => status.isLate(feed));
  status.count(latest.count);
  label();
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
  status.age();
}, 1000);
setInterval(() => {
  latest.retime();
  tape.retime();
  events.retime();
}, MINUTE_MS);
addEventListener("keydown", (event) => {
  const isTyping = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (event.key === "?" && !isTyping) legend.open = !legend.open;
});
become("connecting", "Connecting");
requestAnimationFrame(paint);
void start();
