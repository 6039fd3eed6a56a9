/**
 * A fleet of MessagePack WebSocket subscribers for k6: `make loadtest-k6`.
 *
 * `ramping`: they come one after another, and stay. `steady`: they come all at
 * once, as after a restart, and stay. One after the other where both are asked for.
 */

import exec from 'k6/execution';
import { sleep } from 'k6';

import * as meters from './meters.js';
import { settingsFrom } from './settings.js';
import { Subscriber } from './subscriber.js';

const settings = settingsFrom(__ENV);
const vus = Math.ceil(settings.clients / settings.clientsPerVu);
/** Seconds to close the sockets in, after a scenario's time. */
const LEAVE_S = 3;

function scenarios() {
  const found = {};
  settings.scenarios.forEach((name, index) => {
    found[name] = {
      exec: 'subscribe',
      startTime: `${index * (settings.seconds + LEAVE_S)}s`,
      gracefulStop: `${LEAVE_S}s`,
      ...(name === 'steady'
        ? { executor: 'constant-vus', vus, duration: `${settings.seconds}s` }
        : {
            executor: 'ramping-vus',
            startVUs: 1,
            stages: [
              { duration: `${settings.rampSeconds}s`, target: vus },
              { duration: `${settings.seconds - settings.rampSeconds}s`, target: vus },
            ],
          }),
    };
  });
  return found;
}

export const options = {
  scenarios: scenarios(),
  thresholds: meters.thresholds(settings),
  summaryTrendStats: ['avg', 'med', 'p(95)', 'p(99)', 'max'],
};

/** One virtual user: its share of the clients, until the scenario's time is over. */
export function subscribe() {
  meters.begin();
  const taken = exec.scenario.iterationInTest * settings.clientsPerVu;
  const count = Math.min(settings.clientsPerVu, settings.clients - taken);
  const endsAt = exec.scenario.startTime + settings.seconds * 1000;
  if (count <= 0 || endsAt <= Date.now()) {
    sleep(1); // k6 begins another round in the last moment: there is nobody left
    return;
  }
  for (let index = 0; index < count; index += 1) {
    new Subscriber(settings, endsAt).run();
  }
}
