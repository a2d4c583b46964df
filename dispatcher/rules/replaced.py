"""When a newer update speaks for an older one."""

from typing import Final

from dispatcher.rules.reasons import Decision
from dispatcher.rules.states import DeliveryState

# Of a person's delivery n of a newer update. It speaks for theirs of an older one unless it was stopped.
# What was itself replaced does not count: what replaced it does, while that stands. But nobody is told of
# trouble after its end.
REPLACED_BY: Final = f"""
(n.state in ({DeliveryState.PLANNED:d}, {DeliveryState.ACCEPTED:d}, {DeliveryState.REJECTED:d},
             {DeliveryState.UNCONFIRMED:d}, {DeliveryState.EXPIRED:d})
 or n.state = {DeliveryState.SUPERSEDED:d} and n.reason = {Decision.NEVER_TOLD:d})
"""
