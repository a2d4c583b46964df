"""The wiring is the whole wiring: nobody publishes what `pipeline.py` does not say."""

import ast
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import dispatcher
from channels.model import ChannelKind
from dispatcher.pipeline import CONSUMERS, PIPELINE
from dispatcher.rules.policy import Severity
from dispatcher.stages import send
from dispatcher.stages.release import released_event

ROOT = Path(dispatcher.__file__).parent
STAGES = sorted(path for path in (ROOT / "stages").iterdir() if not path.name.startswith("_"))


def events_named_in(path: Path) -> set[str]:
    """String constants that look like events, in calls of `Event(...)` or dictionaries of events."""
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Event":
                for part in ast.walk(node.args[0]):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        found.add(part.value)
    return found


def test_every_event_has_exactly_one_stage_and_a_known_consumer() -> None:
    names = [wire.event for wire in PIPELINE]
    assert len(names) == len(set(names))
    assert {wire.consumer for wire in PIPELINE} == set(CONSUMERS)


def test_what_a_wire_publishes_wakes_somebody() -> None:
    known = {wire.event for wire in PIPELINE}
    for wire in PIPELINE:
        assert set(wire.publishes) <= known, wire.event


def test_a_provider_that_hangs_holds_up_no_other_channel_however_urgent() -> None:
    consumers = [wire.consumer for wire in PIPELINE if wire.stage is send.run]
    assert len(consumers) == len(set(consumers))
    for name in consumers:
        assert ChannelKind(name.removeprefix("urgent.")) is not ChannelKind.BANNER


def test_every_released_slice_wakes_the_consumer_of_its_channel() -> None:
    consumer = {wire.event: wire.consumer for wire in PIPELINE}
    for kind in set(ChannelKind) - {ChannelKind.BANNER}:
        for severity in Severity:
            event = released_event(kind.code, severity, 7, datetime.now(UTC))
            urgent = severity is Severity.P0
            assert consumer[event.name] == (f"urgent.{kind}" if urgent else kind)
            assert event.key == 7


def test_stages_publish_nothing_but_what_they_declare() -> None:
    for path in STAGES:
        if path.suffix not in {"", ".py"} or path.name == "control.py":
            continue
        module = import_module(f"dispatcher.stages.{path.stem}")
        declared = set(getattr(module, "PUBLISHES", ()))
        for event in events_named_in(path):
            assert any(name.startswith(event) for name in declared), (path.name, event)


def test_only_stages_clocks_and_the_outbox_publish() -> None:
    for path in ROOT.rglob("*.py"):
        area = path.relative_to(ROOT).parts[0]
        if area not in {"stages", "clocks", "jobs.py", "announce"}:
            assert not events_named_in(path), path
