"""Forgetting a person: the record of what was sent stays, who it was does not."""

from datetime import datetime
from typing import Final

from segments.model import Db

# Locked first: a record of the same contact that is being written comes before or after.
_FIND: Final = "select id from contact where external_id = $1::text for update"
_FORGET: Final = """
    update contact
    set external_id = null, roles = '{}', locale = '', time_zone = '', quiet_from = null,
        quiet_until = null, erased_at = $2::timestamptz, removed_at = $2::timestamptz,
        updated_at = $2::timestamptz
    where id = $1::bigint
"""
_FORGET_NAMES: Final = "update contact_version set name = null where contact_id = $1::bigint"
_UNLINK: Final = """
    update contact_endpoint set removed_at = $2::timestamptz
    where contact_id = $1::bigint and removed_at is null
"""
# Former addresses too; but one that somebody else still uses is theirs.
_FORGET_ADDRESSES: Final = """
    update address a set value = null, hash = null, erased_at = $2::timestamptz
    where a.id in (select address_id from contact_endpoint where contact_id = $1::bigint)
      and a.erased_at is null
      and not exists (
          select from contact_endpoint o join contact c on c.id = o.contact_id
          where o.endpoint_id in (select id from endpoint e where e.address_id = a.id)
            and o.removed_at is null and c.removed_at is null and c.id <> $1::bigint)
"""
_FORGET_WISHES: Final = "delete from subscription where contact_id = $1::bigint"
_FORGET_CONSENT: Final = """
    update consent set source = '', wording = '' where contact_id = $1::bigint
"""


async def erase_contact(conn: Db, external_id: str, now: datetime) -> bool:
    """Blank a contact's name, addresses and preferences; False if there is no such contact.

    Suppressions are kept: they hold only a keyed hash, and keep a later import from writing to the
    address again. The caller writes the audit log.
    """
    async with conn.transaction():
        contact_id = await conn.fetchval(_FIND, external_id)
        if contact_id is None:
            return False
        await conn.execute(_UNLINK, contact_id, now)
        await conn.execute(_FORGET_ADDRESSES, contact_id, now)
        await conn.execute(_FORGET_NAMES, contact_id)
        await conn.execute(_FORGET_WISHES, contact_id)
        await conn.execute(_FORGET_CONSENT, contact_id)
        await conn.execute(_FORGET, contact_id, now)
    return True
