"""Where updates come from: a contract, a real broker, and its embedded twin.

Must not know the hub, its subscribers, or any client's wire.
"""
