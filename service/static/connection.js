/**
 * One subscription over a WebSocket that is opened again whenever it is lost, and then
 * resumed with the cursor. It speaks tickfan.json.v1 (docs/protocol.md).
 * Must not know the page.
 */

/**
 * @typedef {{t: string, [field: string]: any}} Message
 * @typedef {[channel: string, seq: number, ts: number, data: unknown, prev?: number | null, type?: string]} Row
 * @typedef {{channels: string[], interval_ms?: number}} Subscription
 * @typedef {"connecting" | "live" | "waiting" | "closed"} State
 */

/**
 * What it tells, and to whom. Every message but `updates` is an `event`.
 * @typedef {object} Listener
 * @property {(state: State, text: string) => void} state
 * @property {(rows: Row[], isLossless: boolean) => void} updates
 * @property {(message: Message) => void} event
 */

const PROTOCOL = "tickfan.json.v1";
/** Three heartbeats: a socket that says nothing for longer is dead, whatever it says of itself. */
const SILENCE_MS = 45_000;
const BACK_OFF_MS = 1_000;
const BACK_OFF_MAX_MS = 15_000;
/** From this close code on the same request would be refused again. */
const FOR_GOOD = 4500;

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
  /** @type {number | undefined} */
  let timer;

  function open() {
    listener.state("connecting", "Connecting");
    socket = new WebSocket(url, PROTOCOL);
    const own = socket;
    let isGranted = false;
    /** @type {Message | undefined} */
    let goodbye;
    const watch = () => {
      clearTimeout(timer);
      timer = setTimeout(() => lost(own, undefined), SILENCE_MS);
    };
    watch();
    own.onopen = () => {
      own.send(JSON.stringify({ op: "subscribe", id: 1, ...subscription, cursor }));
      // Commands are answered in order: by its answer all that is granted has been.
      own.send(JSON.stringify({ op: "ping", id: 2 }));
    };
    own.onmessage = ({ data }) => {
      if (own !== socket || isOver) return;
      watch();
      const message = /** @type {Message} */ (JSON.parse(data));
      if (message.t === "closing") goodbye = message;
      if (message.t === "subscribed") isGranted = true;
      hear(message);
      if (message.t === "pong" && !isGranted) {
        end();
        listener.state("closed", "None of this could be subscribed");
      }
    };
    own.onclose = () => lost(own, goodbye);
  }

  /** @param {Message} message */
  function hear(message) {
    if (message.c) cursor = message.c;
    if (message.t === "updates") {
      take(message);
      return;
    }
    if (message.t === "subscribed") {
      attempts = 0;
      listener.state("live", "Live");
    }
    listener.event(message);
  }

  /** @param {Message} message with rows: live ones of lossless feeds have a cursor */
  function take(message) {
    if (!message.snapshot) {
      listener.updates(message.u, message.c !== undefined);
      return;
    }
    // Both kinds come together: the full state of a lossless channel, and what followed it.
    const isLossless = (/** @type {Row} */ row) =>
      row.length === 5 || row[4] != null || row[5] === "snapshot";
    const states = message.u.filter(isLossless);
    const values = message.u.filter((/** @type {Row} */ row) => !isLossless(row));
    if (states.length) listener.updates(states, true);
    if (values.length) listener.updates(values, false);
  }

  /**
   * The socket has ended, or counts as ended; come back, unless that is of no use.
   * @param {WebSocket} own
   * @param {Message | undefined} goodbye
   */
  function lost(own, goodbye) {
    if (own !== socket || isOver) return;
    own.onclose = own.onmessage = null;
    own.close();
    clearTimeout(timer);
    const why = goodbye ? `${goodbye.reason}: ${goodbye.message}` : "The service cannot be reached";
    if (goodbye && goodbye.code >= FOR_GOOD) {
      listener.state("closed", why);
      return;
    }
    const wait = goodbye?.retry_ms ?? backOff();
    listener.state("waiting", `${why}. Again in ${(wait / 1000).toFixed(0)} s`);
    timer = setTimeout(open, wait);
  }

  /** @returns {number} ms, doubled each time, half of it by chance: a herd must not come back at once */
  function backOff() {
    const most = Math.min(BACK_OFF_MS * 2 ** attempts, BACK_OFF_MAX_MS);
    attempts += 1;
    return most * (0.5 + Math.random() / 2);
  }

  function end() {
    isOver = true;
    clearTimeout(timer);
    socket.close(1000);
  }

  open();
  return end;
}
