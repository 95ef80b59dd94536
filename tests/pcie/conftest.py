"""The command, as the tests of the host call it."""

from tests.host.conftest import sterna

__all__ = ["sterna"]
