"""What `tidings doctor` says of the database's roles: who owns the tables, who stands behind the wall."""

from collections.abc import Iterator
from typing import Final

from dispatcher.cli.finding import Finding, Mark
from dispatcher.db import Connection, one_row

# What belongs to us, and to somebody whose rights we have not: their policies would bind us.
OWNERS_SQL: Final = """
select coalesce(array_agg(c.relname::text order by c.relname)
                filter (where not pg_has_role(current_user, c.relowner, 'usage')), '{}') as foreign_tables,
       coalesce(array_agg(c.relname::text order by c.relname)
                filter (where c.relforcerowsecurity), '{}') as forced,
       coalesce(array_agg(c.relname::text order by c.relname) filter (
           where not c.relrowsecurity and exists (select from pg_policy where polrelid = c.oid)), '{}') as open,
       current_user::text as role
from pg_class c
where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
"""
WALL_SQL: Final = """
select wall_gap() as gap, walled_role() as role, pg_get_userbyid(relowner) as owner,
       r.oid is null as missing, coalesce(r.rolsuper, false) as super,
       coalesce(r.rolbypassrls, false) as bypass, coalesce(r.rolcanlogin, false) as login,
       array(select g.rolname::text from pg_auth_members m join pg_roles g on g.oid = m.roleid
             where m.member = r.oid order by 1) as member_of,
       exists (select from users where role = 'account_manager' and disabled_at is null) as wanted
from pg_class left join pg_roles r on r.rolname = walled_role()
where pg_class.oid = 'account'::regclass
"""
# Most likely granted to everybody, and so to the role too.
BEYOND_SQL: Final = """
select coalesce(array_agg(distinct c.relname::text order by c.relname::text), '{}')
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
  and has_column_privilege(walled_role(), c.oid, a.attnum, 'select')
  and not exists (select from walled_reads() r where r.place::regclass = c.oid
                  and (r.names is null or a.attname = any(r.names)))
"""
_SHOWN: Final = 3


async def ownership(conn: Connection) -> Finding:
    """Whether the tables are ours, bind us by no policy, and keep those they have."""
    row = await one_row(conn, OWNERS_SQL)
    role = row["role"]
    found = [
        _tables(row["foreign_tables"], f"no tables of {role}", f'owner to "{role}"'),
        _tables(row["forced"], f"bind {role} too", "no force row level security"),
        _tables(row["open"], "policies that nothing asks for", "enable row level security"),
    ]
    wrong = [pair for pair in found if pair is not None]
    if not wrong:
        return Finding("tables", Mark.RIGHT, f"belong to {role}; policies hold where there are any")
    mend = " ".join(how for _, how in wrong)
    detail = "; ".join(what for what, _ in wrong)
    return Finding("tables", Mark.WRONG, detail, f"As an administrator of the server: {mend}")


def _tables(names: list[str], what: str, change: str) -> tuple[str, str] | None:
    if not names:
        return None
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    how = " ".join(f"alter table {name} {change};" for name in names)
    return f"{', '.join(names[:_SHOWN])}{more}: {what}", how


async def wall(conn: Connection) -> Finding:
    """Whether the database keeps other customers' data from account managers."""
    row = await one_row(conn, WALL_SQL)
    role = row["role"]
    mark = Mark.WRONG if row["wanted"] else Mark.NOTE
    if not row["gap"]:
        return await _no_more(conn, role, mark)
    steps = [
        *([f"create role {role} nologin"] if row["missing"] else []),
        *_less(role, row["super"], row["bypass"], row["login"]),
        *(f'revoke "{group}" from {role}' for group in row["member_of"]),
        f'grant {role} to "{row["owner"]}" with inherit false, set true',
    ]
    mend = (
        f"As an administrator of the server: {'; '.join(steps)}; "
        "then run tidings migrate again. Until then account managers are refused."
    )
    return Finding("account managers", mark, row["gap"], mend)


async def _no_more(conn: Connection, role: str, mark: Mark) -> Finding:
    """Whether the role, which has what it needs, has nothing else."""
    beyond = await conn.fetchval(BEYOND_SQL)
    if not beyond:
        return Finding("account managers", Mark.RIGHT, f"see their own accounts only, as {role}")
    more = f" and {len(beyond) - _SHOWN} more" if len(beyond) > _SHOWN else ""
    detail = f"the role may read more than it should: {', '.join(beyond[:_SHOWN])}{more}"
    mend = (
        f"As an administrator of the server: revoke select on {', '.join(beyond)} from public, {role}; "
        "then run tidings migrate again."
    )
    return Finding("account managers", mark, detail, mend)


def _less(role: str, superuser: bool, bypass: bool, login: bool) -> Iterator[str]:
    rights = {"nosuperuser": superuser, "nobypassrls": bypass, "nologin": login}
    if any(rights.values()):
        yield f"alter role {role} {' '.join(name for name, there in rights.items() if there)}"
