"""The running service of these tests: see tests/support/fixtures.py."""

from tests.support.fixtures import make_live, service

__all__ = ["make_live", "service"]
