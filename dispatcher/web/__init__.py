"""HTTP: the API, receipts, the banner, and the few pages people see."""

from dispatcher.web.app import create_app, make_runner
from dispatcher.web.health import own_checks
from dispatcher.web.metrics import keep_worker_metrics

__all__ = ["create_app", "keep_worker_metrics", "make_runner", "own_checks"]
