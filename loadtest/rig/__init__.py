"""What a run stands on: the service as a process, a private RabbitMQ, followers and faults.

The load tests and the tests of tests/ both import it. Must not know either.
"""
