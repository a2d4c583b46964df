"""HTTP: the API, receipts, the banner, and the few pages people see."""

from dispatcher.web.app import create_app, make_runner

__all__ = ["create_app", "make_runner"]
