/**
 * What is measured, and what it must stay below for k6 to end with status 0.
 */

import { Counter, Rate, Trend } from 'k6/metrics';

export const connected = new Rate('tickfan_connected');
export const connectTime = new Trend('tickfan_connect', true);
export const firstUpdate = new Trend('tickfan_first_update', true);
/** Of the oldest update in each message: from its `ts` to this machine's clock. */
export const age = new Trend('tickfan_age', true);
/** How late this k6's own timers are: an age can be no better than this. */
export const lag = new Trend('tickfan_k6_lag', true);
export const updates = new Counter('tickfan_updates');
export const gaps = new Counter('tickfan_gaps');
export const errors = new Counter('tickfan_errors');
export const reconnects = new Counter('tickfan_reconnects');

export function thresholds(settings) {
  return {
    tickfan_connected: ['rate>0.99'],
    tickfan_connect: [`p(95)<${settings.connectP95Ms}`],
    'tickfan_age{delivery:lossless}': [`p(99)<${settings.ageP99Ms}`],
    // A conflated value may wait for its interval before it is sent.
    'tickfan_age{delivery:conflated}': [`p(99)<${settings.ageP99Ms + settings.intervalMs}`],
    tickfan_updates: ['count>0'],
    tickfan_gaps: ['count==0'],
    tickfan_errors: ['count==0'],
  };
}

/** k6 passes a threshold whose meter saw nothing: a silent service must not pass. */
export function begin() {
  updates.add(0);
}
