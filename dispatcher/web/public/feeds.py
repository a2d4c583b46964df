"""The same as feeds: Atom (RFC 4287) and RSS 2.0, one entry per incident, its updates inside."""

from collections.abc import Sequence
from email.utils import format_datetime
from html import escape
from typing import Final
from xml.etree import ElementTree as ET

from dispatcher.web.public.models import PublicIncident, PublicUpdate
from dispatcher.web.public.read import Look
from templates.times import stamp

ATOM: Final = "http://www.w3.org/2005/Atom"
_ENTRIES: Final = 25


def newest(look: Look) -> Sequence[PublicIncident]:
    """Incidents and maintenance together, what was said last first."""
    both = [*look.incidents, *look.maintenances]
    return sorted(both, key=lambda item: item.updated_at, reverse=True)[:_ENTRIES]


def atom(look: Look) -> bytes:
    """`history.atom`. An entry keeps its id, and changes with what is said."""
    ET.register_namespace("", ATOM)
    feed = ET.Element(f"{{{ATOM}}}feed")
    url = look.page.url
    _add(feed, "id", f"{url}/history.atom")
    _add(feed, "title", f"{look.page.name}: incidents")
    _add(feed, "updated", look.page.updated_at.isoformat())
    ET.SubElement(_add(feed, "author"), f"{{{ATOM}}}name").text = look.page.name
    _add(feed, "link", rel="self", type="application/atom+xml", href=f"{url}/history.atom")
    for incident in newest(look):
        entry = _add(feed, "entry")
        _add(entry, "id", incident.shortlink)
        _add(entry, "title", incident.name)
        _add(entry, "published", incident.created_at.isoformat())
        _add(entry, "updated", incident.updated_at.isoformat())
        _add(entry, "link", rel="alternate", type="text/html", href=incident.shortlink)
        _add(entry, "content", _html(incident), type="html")
    return _document(feed)


def rss(look: Look) -> bytes:
    """`history.rss`, for readers that know nothing newer."""
    root = ET.Element("rss", version="2.0")
    channel = ET.SubElement(root, "channel")
    for name, text in (
        ("title", f"{look.page.name}: incidents"),
        ("link", look.page.url),
        ("description", f"What {look.page.name} has told everybody"),
        ("pubDate", format_datetime(look.page.updated_at)),
    ):
        ET.SubElement(channel, name).text = text
    for incident in newest(look):
        item = ET.SubElement(channel, "item")
        for name, text in (
            ("title", incident.name),
            ("description", _html(incident)),
            ("pubDate", format_datetime(incident.updated_at)),
            ("link", incident.shortlink),
            ("guid", incident.shortlink),
        ):
            ET.SubElement(item, name).text = text
    return _document(root)


def _add(parent: ET.Element, name: str, text: str | None = None, **attributes: str) -> ET.Element:
    found = ET.SubElement(parent, f"{{{ATOM}}}{name}", attributes)
    found.text = text
    return found


def _document(root: ET.Element) -> bytes:
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _html(incident: PublicIncident) -> str:
    """What was said, newest first; everything in it is escaped here, and once more as XML."""
    return "".join(_said(update) for update in incident.incident_updates)


def _said(update: PublicUpdate) -> str:
    at = stamp(update.created_at, zone="UTC")
    paragraphs = "".join(
        f"<p>{escape(part).replace(chr(10), '<br>')}</p>" for part in update.body.split("\n\n")
    )
    status = update.status.replace("_", " ").capitalize()
    return f"<p><small>{escape(at)}</small><br><strong>{escape(status)}</strong></p>{paragraphs}"
