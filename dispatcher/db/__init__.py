"""PostgreSQL: connections that never wait for ever, the schema, transactions, and what "away" means."""

from dispatcher.db.connections import (
    STATEMENTS_KEPT,
    Connection,
    DatabaseAddressError,
    DatabaseUnavailableError,
    Pool,
    PoolLimits,
    describe,
    open_pool,
    open_session,
)
from dispatcher.db.migrations import (
    APPLIED_SQL,
    Migration,
    MigrationError,
    migrate,
    shipped_migrations,
)
from dispatcher.db.transactions import (
    RETRIES,
    database_clock,
    in_transaction,
    one_row,
)
from dispatcher.db.trouble import AWAY

__all__ = [
    "APPLIED_SQL",
    "AWAY",
    "RETRIES",
    "STATEMENTS_KEPT",
    "Connection",
    "DatabaseAddressError",
    "DatabaseUnavailableError",
    "Migration",
    "MigrationError",
    "Pool",
    "PoolLimits",
    "database_clock",
    "describe",
    "in_transaction",
    "migrate",
    "one_row",
    "open_pool",
    "open_session",
    "shipped_migrations",
]
