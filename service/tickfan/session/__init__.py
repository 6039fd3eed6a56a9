"""One connection, from its first word to its last.

Must not know HTTP, WebSocket, or how a request was spelled.
"""
