"""Writing who there is: one path for a single PUT and for an import of millions.

Each writer copies records into temporary tables, checks them against what is stored, and writes
the difference with a fixed number of statements, however many the records are.
"""

from segments.store.accounts import AccountWriter, remove_account, resegment, upsert_accounts
from segments.store.components import ComponentWriter, upsert_components
from segments.store.contacts import ContactWriter, upsert_contacts
from segments.store.erasure import erase_contact
from segments.store.lookup import resolve_accounts, resolve_components
from segments.store.writer import Counts, Writer

__all__ = [
    "AccountWriter",
    "ComponentWriter",
    "ContactWriter",
    "Counts",
    "Writer",
    "erase_contact",
    "remove_account",
    "resegment",
    "resolve_accounts",
    "resolve_components",
    "upsert_accounts",
    "upsert_components",
    "upsert_contacts",
]
