"""The laws of the house: names, queues, cursors and reasons.

Standard library only. Nothing here knows asyncio, a clock, a socket, a log or
a wire format; everything can be tested by calling it.
"""
