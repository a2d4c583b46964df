"""What a database that is away, restarting, full or in conflict looks like from here: one list for all.

Whoever meets one of these keeps what they have and tries again; anything else is a fault of this program.
"""

from typing import Final

import asyncpg

from dispatcher.db.connections import DatabaseUnavailableError

AWAY: Final = (
    DatabaseUnavailableError,
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that ended in the middle of being prepared
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # stopping, starting, crashed, or a statement that took too long
    asyncpg.ObjectNotInPrerequisiteStateError,  # accepts no connections
    asyncpg.InsufficientResourcesError,  # no disk, no memory, no connection left
    asyncpg.PostgresSystemError,  # its disk does not answer
    asyncpg.ReadOnlySQLTransactionError,  # a standby that is being promoted
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionRollbackError,  # a conflict, more often than a transaction tries again
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
