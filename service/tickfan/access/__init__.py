"""Who somebody is, and what they may read and write: tokens, keys, limits of a subject.

Must not know connections, feeds, settings, or by which way a token came.
"""
