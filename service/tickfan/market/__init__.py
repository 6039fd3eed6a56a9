"""Where updates come from when no exchange is connected: made up, or from a file.

Must not know who carries them: a callback takes each message.
"""
