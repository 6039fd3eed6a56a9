"""Values to bytes and back: what a message looks like on each wire.

Must not know sockets, subscribers or the hub: bytes in, values out, and the
other way round.
"""
