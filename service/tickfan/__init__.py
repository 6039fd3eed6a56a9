"""Tickfan: live prices from RabbitMQ, fanned out to SSE and WebSocket subscribers."""

__version__ = "0.1.0"
