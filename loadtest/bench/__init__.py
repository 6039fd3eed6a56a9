"""`make bench`: what a delivered update costs, shown beside its peers.

Must not be needed by the service: it is measured from outside, as a process.
"""
