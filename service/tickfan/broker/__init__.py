"""Where updates come from: one contract, one real broker, one embedded twin.

Must not know the hub, its subscribers, or any client's wire.
"""
