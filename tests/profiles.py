"""The rhythm of workers under test: everything that waits for minutes in operation waits for seconds."""

from dispatcher.config import WorkerSettings

BRISK = WorkerSettings(
    heartbeat_s=1,
    lease_s=3,
    dequeue_timeout_s=0.2,
    sweep_every_s=0.3,
    reconcile_window_s=1.5,
    park_receipts_s=2,
)
# Where nothing is asserted about who did something, only that it was done: a worker may lose its lease for
# no other reason than a busy machine.
HURRIED = WorkerSettings(
    heartbeat_s=0.5,
    lease_s=2,
    dequeue_timeout_s=0.2,
    sweep_every_s=0.2,
    reconcile_window_s=1,
    drain_s=5,
    park_receipts_s=2,
)
