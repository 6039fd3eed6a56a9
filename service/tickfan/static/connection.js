/**
 * One subscription over a WebSocket that is opened again whenever it is lost, and then
 * resumed with the cursor. It speaks tickfan.json.v1 (docs/protocol.md).
 * Must not know the page.
 */

import { clock } from "./times.js";

/**
 * @typedef {{t: string, [field: string]: any}} Message
 * @typedef {[channel: string, seq: number, ts: number, data: unknown, prev?: number | null, type?: string]} Row
 * @typedef {{channels: string[], interval_ms?: number}} Subscription
 * @typedef {"connecting" | "live" | "waiting" | "closed"} State
 */

/**
 * @typedef {object} Listener
 * @property {(state: State, text: string) => void} state
 * @property {(message: Message) => void} message
 */

const PROTOCOL = "tickfan.json.v1";
/** After so long without a word the service is asked for one: a script sees no WebSocket pings. */
const ASK_MS = 10_000;
/** A socket that does not answer for so long is dead, whatever it says of itself. */
const ANSWER_MS = 5_000;
const OPEN_MS = 15_000;
const BACK_OFF_MS = 1_000;
const BACK_OFF_MAX_MS = 15_000;
/** From this close code on the same request would be refused again. */
const FOR_GOOD = 4500;

/**
 * How long to wait before the next attempt: doubled each time, half of it by chance, as a
 * herd must not come back at once.
 * @param {number} attempts that have failed
 * @returns {number} ms
 */
export function backOff(attempts) {
  return Math.min(BACK_OFF_MS * 2 ** attempts, BACK_OFF_MAX_MS) * (0.5 + Math.random() / 2);
}

/**
 * Subscribe at `url` (ws: or wss:) until the function that is returned is called.
 * @param {string} url
 * @param {Subscription} subscription
 * @param {Listener} listener
 * @returns {() => void}
 */
export function connect(url, subscription, listener) {
  let isOver = false;
  let attempts = 0;
  /** @type {string | undefined} */
  let cursor;
  /** @type {WebSocket} */
  let socket;
  /** @type {number | undefined} the one that runs: until it asks, is answered, or opens again */
  let timer;

  function open() {
    listener.state("connecting", "Connecting");
    socket = new WebSocket(url, PROTOCOL);
    const own = socket;
    let isGranted = false;
    /** @type {Message | undefined} */
    let goodbye;
    const ask = () => {
      say({ op: "ping" });
      wait(ANSWER_MS, () => lost(own, undefined));
    };
    wait(OPEN_MS, () => lost(own, undefined));
    own.onopen = () => {
      say({ op: "subscribe", id: 1, ...subscription, cursor });
      // Commands are answered in order: by its answer all that is granted has been.
      say({ op: "ping", id: 2 });
    };
    own.onmessage = ({ data }) => {
      if (own !== socket || isOver) return;
      wait(ASK_MS, ask);
      const message = /** @type {Message} */ (JSON.parse(data));
      if (message.c) cursor = message.c;
      if (message.t === "closing") goodbye = message;
      if (message.t === "subscribed") {
        isGranted = true;
        attempts = 0;
        listener.state("live", "Connected");
      }
      listener.message(message);
      if (message.t === "pong" && !isGranted) {
        end();
        listener.state("closed", "None of this could be subscribed");
      }
    };
    own.onclose = () => lost(own, goodbye);
  }

  /** @param {object} command */
  function say(command) {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(command));
  }

  /**
   * @param {number} ms
   * @param {() => void} then
   */
  function wait(ms, then) {
    clearTimeout(timer);
    timer = setTimeout(then, ms);
  }

  /**
   * The socket has ended, or counts as ended; come back, unless that is of no use.
   * @param {WebSocket} own
   * @param {Message | undefined} goodbye
   */
  function lost(own, goodbye) {
    if (own !== socket || isOver) return;
    own.onopen = own.onclose = own.onmessage = null;
    own.close();
    clearTimeout(timer);
    const why = goodbye ? `${goodbye.reason}: ${goodbye.message}` : "The service cannot be reached";
    if (goodbye && (goodbye.code >= FOR_GOOD || goodbye.retry_ms === null)) {
      listener.state("closed", why);
      return;
    }
    const ms = goodbye?.retry_ms ?? backOff(attempts);
    attempts += 1;
    listener.state("waiting", `${why}. Next attempt at ${clock(Date.now() + ms)}`);
    wait(ms, open);
  }

  function end() {
    isOver = true;
    clearTimeout(timer);
    socket.close(1000);
  }

  open();
  return end;
}
