/**
 * What the load test is told by the environment, checked once, before anything runs.
 *
 * The names, defaults and meanings are those of ../README.md, and the same for locust.
 */

export function settingsFrom(environ) {
  const settings = {
    host: address(environ, 'TICKFAN_LOAD_HOST', 'http://localhost:8080'),
    channels: list(environ, 'TICKFAN_LOAD_CHANNELS', 'quotes.#,trades.#'),
    intervalMs: whole(environ, 'TICKFAN_LOAD_INTERVAL_MS', 500),
    clients: whole(environ, 'TICKFAN_LOAD_CLIENTS', 50),
    seconds: whole(environ, 'TICKFAN_LOAD_SECONDS', 30),
    rampSeconds: whole(environ, 'TICKFAN_LOAD_RAMP_SECONDS', 10),
    ageP99Ms: whole(environ, 'TICKFAN_LOAD_AGE_P99_MS', 250),
    connectP95Ms: whole(environ, 'TICKFAN_LOAD_CONNECT_P95_MS', 1000),
    clientsPerVu: whole(environ, 'TICKFAN_LOAD_CLIENTS_PER_VU', 10),
    scenarios: list(environ, 'TICKFAN_LOAD_SCENARIOS', 'ramping,steady'),
  };
  for (const name of settings.scenarios) {
    if (name !== 'ramping' && name !== 'steady') {
      throw new Error(`TICKFAN_LOAD_SCENARIOS: there is no ${name}: allowed are ramping, steady`);
    }
  }
  if (settings.rampSeconds >= settings.seconds && settings.scenarios.includes('ramping')) {
    throw new Error(
      `TICKFAN_LOAD_RAMP_SECONDS: ${settings.rampSeconds} leaves nothing of ` +
        `TICKFAN_LOAD_SECONDS, which is ${settings.seconds}`,
    );
  }
  return settings;
}

function whole(environ, name, fallback) {
  const text = environ[name] || String(fallback);
  if (!/^[1-9][0-9]{0,8}$/.test(text)) {
    throw new Error(`${name}: ${text} is not a whole number from 1`);
  }
  return Number(text);
}

function list(environ, name, fallback) {
  const items = (environ[name] || fallback).split(',').map((item) => item.trim());
  const found = items.filter((item) => item !== '');
  if (found.length === 0) {
    throw new Error(`${name}: it names nothing`);
  }
  return found;
}

function address(environ, name, fallback) {
  const text = (environ[name] || fallback).replace(/\/+$/, '');
  if (!/^https?:\/\/[^/]/.test(text)) {
    throw new Error(`${name}: ${text} is not an address such as http://localhost:8080`);
  }
  return text;
}
