"""Fixtures of the adapter tests: a running sandbox and adapters signed in to it."""

from tests.connectors.sandboxed import erp, kantata, netsuite, psa, rsa_key, sandbox

__all__ = ["erp", "kantata", "netsuite", "psa", "rsa_key", "sandbox"]
