"""Files of market data: what their rows are, when each was, and for which channel it is.

A file is read in stages: bytes (``content``), text (``text``), rows (``table``), columns
(``columns``) and times (``times``). ``reader`` puts them together. Must not know what
carries the rows away, nor any setting of the service.
"""
