"""HTTP: the API, receipts, the banner, and the few pages people see."""

from dispatcher.web.app import create_app, make_runner
from dispatcher.web.health import own_checks
from dispatcher.web.metrics import keep_worker_metrics
from dispatcher.web.people.store import has_admin

__all__ = ["create_app", "has_admin", "keep_worker_metrics", "make_runner", "own_checks"]
