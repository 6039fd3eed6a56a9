"""How clients reach the hub: SSE, NDJSON, WebSocket.

Must not know brokers; they speak with the hub's connections only.
"""
