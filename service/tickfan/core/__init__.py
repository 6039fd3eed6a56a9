"""What the service is about: names, feeds, queues, history, cursors, reasons, counts.

Core imports the standard library only. It must not know asyncio, a clock, a socket, a
log or a wire format. So everything here can be tested by calling it.
"""
