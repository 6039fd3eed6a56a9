/**
 * k6's WebSocket, wherever this k6 keeps it.
 *
 * `k6/websockets` from 1.6 on, before that `k6/experimental/websockets`. An
 * import cannot be tried; `require` can, and the bundle is CommonJS.
 */

function find() {
  try {
    return require('k6/websockets');
  } catch (error) {
    return require('k6/experimental/websockets');
  }
}

export const { WebSocket } = find();
