"""Brings an update to the sockets that are due it.

Must not know brokers, bodies, settings, HTTP or WebSocket.
"""
