/**
 * The proof that nothing was lost: the last `seq` of each channel, and what must follow.
 *
 * A lossless update names the `seq` before it in `prev`. A conflated one has no
 * `prev`; its `seq` may jump, or come twice, and never goes back.
 * Must not know how updates arrive.
 */

export class Chains {
  constructor() {
    this.last = new Map(); // channel -> {seq, lossless}
  }

  /** Take the next update. Returns what is broken, in one sentence, or null. */
  take(channel, seq, prev, isSnapshot) {
    const before = this.last.get(channel);
    const hasPrev = prev !== undefined && prev !== null;
    const lossless = hasPrev || (before !== undefined && before.lossless);
    this.last.set(channel, { seq, lossless });
    if (isSnapshot || before === undefined) {
      return null;
    }
    if (lossless && prev !== before.seq) {
      return `${channel}: ${seq} follows ${prev}, but ${before.seq} was the last one here`;
    }
    if (seq < before.seq) {
      return `${channel}: ${seq} came after ${before.seq}`;
    }
    return null;
  }

  isLossless(channel) {
    return this.last.get(channel).lossless;
  }

  /** Another connection: lossless channels go on by the cursor, the others start afresh. */
  reconnected() {
    for (const [channel, { lossless }] of this.last) {
      if (!lossless) {
        this.last.delete(channel);
      }
    }
  }

  /** What follows does not follow what came before. */
  forget() {
    this.last.clear();
  }
}
