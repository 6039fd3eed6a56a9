"""SSE and WebSocket subscribers for locust: `make loadtest-locust`.

Must not be needed by the service: it is looked at from outside.
"""
