"""Writing who there is: one path for a single PUT and for an import of millions.

Each writer copies records into temporary tables, checks them against what is stored, and writes
the difference with a fixed number of statements, however many the records are.
"""

from segments.store.accounts import AccountWriter, upsert_accounts
from segments.store.components import ComponentWriter, upsert_components
from segments.store.contacts import ContactWriter, upsert_contacts
from segments.store.erasure import erase_contact
from segments.store.resegmenting import ensure_segments
from segments.store.staging import Staged
from segments.store.writer import Counts, Writer

__all__ = [
    "AccountWriter",
    "ComponentWriter",
    "ContactWriter",
    "Counts",
    "Staged",
    "Writer",
    "ensure_segments",
    "erase_contact",
    "upsert_accounts",
    "upsert_components",
    "upsert_contacts",
]
