"""SendGrid-, Twilio- and X-shaped servers with a ledger and a page.

Part of the product: demo, drills, tests and benchmarks send through the real adapters to these;
only base URLs differ. Nothing here imports anything of ours, so that the judge is independent.

    sandbox = await start(SandboxSettings(port=0))
    ...  # send to sandbox.sendgrid_url, sandbox.twilio_url, sandbox.x_url
    sandbox.ledger.rows()
    await sandbox.stop()
"""

from dispatcher.sandbox.app import RunningSandbox, create_app, run_forever, start
from dispatcher.sandbox.ledger import Entry, Ledger, Provider, Row
from dispatcher.sandbox.settings import SandboxSettings

__all__ = [
    "Entry",
    "Ledger",
    "Provider",
    "Row",
    "RunningSandbox",
    "SandboxSettings",
    "create_app",
    "run_forever",
    "start",
]
