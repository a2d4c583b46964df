"""The shape that Alertmanager and Grafana share: a group of alerts, firing and resolved."""

from collections.abc import Iterator
from typing import Final

from dispatcher.intake.model import Alert, DraftProposal, Ignored, MalformedError, Reading
from dispatcher.intake.shapes import Node, line, lines

# Labels that may name a component; anything else would be a coincidence.
_COMPONENT_LABELS: Final = ("component", "service", "app", "job", "alertname")
_SAID_ALREADY: Final = frozenset({"alertname", "severity"})
_STATES: Final = {"firing": True, "resolved": False}
MOST_ALERTS: Final = 1000


def read_group(body: Node, *, sender: str) -> Reading:
    """One draft for the group, whatever the number of its alerts. Raises MalformedError."""
    group = body.name("groupKey")
    nodes = body.items("alerts")
    if not nodes:
        return Ignored("the group has no alerts")
    if len(nodes) > MOST_ALERTS:
        raise MalformedError("/alerts", f"has more than {MOST_ALERTS} alerts")
    alerts = tuple(_alert(group, node) for node in nodes)
    firing = sum(item.firing for item in alerts)
    left_out = body.whole("truncatedAlerts")
    severity = body.text("commonLabels", "severity") or _worst(nodes)
    return DraftProposal(
        incident_key=group,
        recurring=True,
        heading=lines(
            [
                f"{sender}: {firing} firing, {len(alerts) - firing} resolved",
                f"{left_out} more alerts were left out by the sender" if left_out > 0 else "",
            ]
        ),
        alerts=alerts,
        # What was left out may still fire.
        ended=firing == 0 and left_out <= 0,
        severity=severity,
        components=tuple(dict.fromkeys(name for node in nodes for name in _components(node))),
        link=body.text("externalURL"),
    )


def _alert(group: str, node: Node) -> Alert:
    state = node.need("status")
    if state.text() not in _STATES:
        raise MalformedError(state.pointer, "must be firing or resolved")
    # The sender's own identity of what it says: the same alert, from the same beginning, in the same state.
    same = [group, node.name("fingerprint"), node.name("startsAt")]
    key, opposite = ("\n".join([*same, word]) for word in _in_turn(state.text()))
    name = node.text("labels", "alertname") or "an alert without a name"
    told = [node.text("annotations", part) for part in ("summary", "description")]
    return Alert(
        key,
        lines(
            [
                f"{line(name)} ({state.text()}, since {_since(node)})",
                *(line(text, 500) for text in dict.fromkeys(told)),
                line(", ".join(_labels(node))),
            ]
        ),
        firing=_STATES[state.text()],
        opposite=opposite,
    )


def _in_turn(state: str) -> tuple[str, str]:
    """A state, and the other one."""
    first, second = _STATES
    return (first, second) if state == first else (second, first)


def _since(node: Node) -> str:
    """As people write it, where it is a time."""
    try:
        return f"{node.need('startsAt').moment():%Y-%m-%d %H:%M} UTC"
    except MalformedError:
        return line(node.text("startsAt"), 40)


def _labels(node: Node) -> Iterator[str]:
    """What tells this alert from the others of its group: which machine, which customer."""
    labels = node.get("labels")
    for name, value in labels.value.items() if labels else ():
        if isinstance(value, str) and name not in _SAID_ALREADY and not name.startswith("__"):
            yield f"{name}={value}"


def _components(node: Node) -> Iterator[str]:
    for label in _COMPONENT_LABELS:
        name = node.text("labels", label)
        if name:
            yield name


def _worst(nodes: list[Node]) -> str:
    """The severity of a group whose alerts differ: the first of the words that means trouble."""
    found = {node.text("labels", "severity").lower() for node in nodes}
    return next((word for word in ("critical", "error", "warning", "info") if word in found), "")
