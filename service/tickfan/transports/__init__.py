"""How clients reach the hub: SSE, NDJSON, WebSocket.

Must not know brokers, nor how an update is brought to a socket.
"""
