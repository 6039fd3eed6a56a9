"""Updates without a publisher of one's own: a market that is made up.

A callback takes each message. Must not know what carries the messages.
"""
