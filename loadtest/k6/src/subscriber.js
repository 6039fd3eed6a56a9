/**
 * One subscriber over a MessagePack WebSocket, from `run` to `endsAt`.
 *
 * It comes back when it is sent away, with its cursor, as a client should.
 * Must not know how many of it there are.
 */

import { Decoder, encode } from '@msgpack/msgpack';

import { Chains } from './chains.js';
import * as meters from './meters.js';
import { WebSocket } from './websocket.js';

const RETRY_MS = 1000;
/** Longer than two heartbeats: who hears nothing for so long has lost its connection. */
const SILENCE_MS = 40000;
const WATCH_MS = 1000;

// Made once, and strings of updates left as bytes: five times as fast, in an
// interpreter. Of an update only its channel is read.
const updateDecoder = new Decoder({ rawStrings: true });
const eventDecoder = new Decoder();

/** Channels and cursors are ASCII. */
function text(bytes) {
  return String.fromCharCode.apply(null, bytes);
}

export class Subscriber {
  constructor(settings, endsAt) {
    this.settings = settings;
    this.endsAt = endsAt; // ms since 1970
    this.chains = new Chains();
    this.cursor = null;
    this.socket = null;
    this.retryMs = RETRY_MS; // null: do not come back
    this.isDone = false;
  }

  run() {
    setTimeout(() => this.stop(), Math.max(0, this.endsAt - Date.now()));
    this.watchedAt = Date.now();
    this.watching = setInterval(() => this.watch(), WATCH_MS);
    this.connect();
  }

  stop() {
    this.isDone = true;
    clearInterval(this.watching);
    if (this.socket !== null) {
      this.socket.close();
    }
  }

  connect() {
    const url = `${this.settings.host.replace(/^http/, 'ws')}/v1/ws`;
    const socket = new WebSocket(url, ['tickfan.msgpack.v1']);
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    this.begunAt = Date.now();
    this.heardAt = this.begunAt;
    this.isOpen = false;
    this.hasUpdate = false;
    socket.onopen = () => this.opened();
    socket.onmessage = (message) => this.receive(message.data);
    socket.onerror = (error) => this.lost(socket, error.error || 'error');
    socket.onclose = () => this.lost(socket, 'closed');
  }

  opened() {
    this.isOpen = true;
    this.retryMs = RETRY_MS;
    meters.connected.add(true);
    meters.connectTime.add(Date.now() - this.begunAt);
    this.chains.reconnected();
    const command = {
      op: 'subscribe',
      id: 1,
      channels: this.settings.channels,
      interval_ms: this.settings.intervalMs,
    };
    if (this.cursor !== null) {
      command.cursor = this.cursor;
    }
    const bytes = encode(command);
    // k6 sends an ArrayBuffer whole, and the library's is larger than what it wrote.
    this.socket.send(bytes.slice().buffer);
  }

  lost(socket, why) {
    if (this.socket !== socket) {
      return; // an error is followed by a close
    }
    this.socket = null;
    if (this.isDone) {
      return;
    }
    if (!this.isOpen) {
      meters.connected.add(false);
      console.error(`no connection: ${why}`);
    }
    if (this.retryMs !== null) {
      meters.reconnects.add(1);
      // Not all at the same time; and never after the end.
      setTimeout(() => this.isDone || this.connect(), this.retryMs * (0.5 + Math.random()));
    }
  }

  watch() {
    const now = Date.now();
    meters.lag.add(now - this.watchedAt - WATCH_MS);
    this.watchedAt = now;
    if (this.isOpen && this.socket !== null && now - this.heardAt > SILENCE_MS) {
      this.fail('silent', `nothing was heard for ${SILENCE_MS} ms`);
      this.socket.close();
    }
  }

  receive(data) {
    const now = Date.now();
    this.heardAt = now;
    const batch = updateDecoder.decode(data);
    if (batch.u !== undefined) {
      this.takeUpdates(batch, now);
    } else {
      this.takeEvent(eventDecoder.decode(data));
    }
    if (batch.c) {
      this.cursor = text(batch.c); // after all of the message is used
    }
  }

  takeUpdates(batch, now) {
    const isSnapshot = batch.snapshot !== undefined;
    if (!this.hasUpdate) {
      this.hasUpdate = true;
      meters.firstUpdate.add(now - this.begunAt);
    }
    let lossless = 0;
    let conflated = 0;
    for (const [name, seq, ts, , prev] of batch.u) {
      const channel = text(name);
      this.step(channel, seq, prev, isSnapshot);
      if (this.chains.isLossless(channel)) {
        lossless = Math.min(lossless || ts, ts);
      } else {
        conflated = Math.min(conflated || ts, ts);
      }
    }
    meters.updates.add(batch.u.length);
    if (isSnapshot) {
      return; // as old as its channel is quiet
    }
    if (lossless !== 0) {
      meters.age.add(now - lossless, { delivery: 'lossless' });
    }
    if (conflated !== 0) {
      meters.age.add(now - conflated, { delivery: 'conflated' });
    }
  }

  takeEvent(event) {
    switch (event.t) {
      case 'gap':
        this.step(event.channel, event.seq, event.prev, false);
        this.gap(`${event.channel}: the service says gap at ${event.seq}: ${event.reason}`);
        break;
      case 'reset':
        this.chains.forget();
        this.gap(`the service says reset of ${event.feed}: ${event.reason}`);
        break;
      case 'error':
        this.fail(event.code, `${event.item || ''}: ${event.message}`);
        break;
      case 'closing':
        this.retryMs = event.retry_ms === undefined ? RETRY_MS : event.retry_ms;
        if (this.retryMs === null) {
          this.fail(event.reason, event.message);
        }
        break;
      default: // subscribed, status, heartbeat, and whatever comes later
    }
  }

  step(channel, seq, prev, isSnapshot) {
    const broken = this.chains.take(channel, seq, prev, isSnapshot);
    if (broken !== null) {
      this.gap(broken);
    }
  }

  gap(sentence) {
    meters.gaps.add(1);
    console.error(`gap: ${sentence}`);
  }

  fail(reason, sentence) {
    meters.errors.add(1, { reason });
    console.error(`${reason}: ${sentence}`);
  }
}
