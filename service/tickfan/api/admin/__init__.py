"""The calls of an operator, on the admin port: who is connected, who is put out, draining.

Must not know how clients connect, nor which broker it is.
"""
