"""Plain HTTP beside the streams: one endpoint a file.

Must not know brokers beyond publishing, nor any stream.
"""
