"""The limit: nothing but ``send()`` of bytes that are there already.

`python -m loadtest.bench.peers.raw <clients> <bytes> <writes a second>`. It
accepts so many connections, says so, and writes to each of them at the rate
until its input ends. No event loop, no framing, no data.
"""

from __future__ import annotations

import select
import socket
import sys
import time


def main() -> None:
    """Listen, accept, send."""
    clients, size, rate = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        _say(f'{{"port": {listener.getsockname()[1]}}}')
        peers = [listener.accept()[0] for _ in range(clients)]
    for peer in peers:
        peer.setblocking(False)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = b"x" * size
    sends = [peer.send for peer in peers]
    writes = 0
    due = time.perf_counter()
    while True:
        wait_s = max(0.0, due - time.perf_counter())
        if select.select([sys.stdin], [], [], wait_s)[0]:
            if sys.stdin.readline().strip() != "mark":
                return
            _say(f'{{"writes": {writes}}}')
        if time.perf_counter() < due:
            continue
        due = max(due + 1 / rate, time.perf_counter() - 1)
        for send in sends:
            try:
                send(data)
            except BlockingIOError:
                continue
            except OSError:  # the clients have gone: that was it
                return
            writes += 1


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
