"""Values to bytes and back: what a message looks like on each wire.

Must not know sockets, subscribers or the hub. Bytes come in and values go out, or the
other way round.
"""
