"""Fixtures: the product in this process, on a database of the test's own."""

from tests.flow.conftest import clock, ctx, product_settings, sandbox

__all__ = ["clock", "ctx", "product_settings", "sandbox"]
