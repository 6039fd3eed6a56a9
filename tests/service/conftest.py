"""The running service of these tests: see tests/support/fixtures.py."""

from tests.support.fixtures import certificates, make_live, over, service, tls_settings

__all__ = ["certificates", "make_live", "over", "service", "tls_settings"]
