"""One small dispatch with every outcome, for the pages of its report."""

from dataclasses import dataclass

from channels.model import ChannelKind, Fact, Reason
from dispatcher.context import Context
from dispatcher.db import Connection
from dispatcher.rules.states import DeliveryState, SliceState
from dispatcher.web.ids import DISPATCH
from segments.model import Exclusion
from tests.report.rows import Book, Person, Row, accepted, lost, told

EMAIL, SMS, SOCIAL, BANNER = (
    ChannelKind.EMAIL,
    ChannelKind.SMS,
    ChannelKind.SOCIAL,
    ChannelKind.BANNER,
)
PHONE = "+15550109999"
WORDS = "Hello, one in five card payments fails."


@dataclass(frozen=True)
class Story:
    """The dispatch, and Eve, whose e-mail (slice `email`) is still without proof."""

    book: Book
    path: str
    email: int
    eve: Person


async def tell_story(ctx: Context, conn: Connection, *, state: str = "sending") -> Story:
    """Big & Co: Ada told by text and e-mail, Bob's e-mail bounced (his phone has no consent).

    Small: Dan told late, Eve without proof, Flo unclear.
    """
    book = Book(conn)
    big, small = await book.account("Big & Co", "enterprise"), await book.account("Small")
    await conn.execute("update account set time_zone = 'Europe/Berlin' where id = $1", big)
    ada = await book.person("Ada", big, EMAIL, SMS)
    bob = await book.person("Bob", big, EMAIL, SMS, BANNER)
    await conn.execute("update address set value = $2 where id = $1", bob.addresses[SMS], PHONE)
    dan, eve = await book.person("Dan", small, EMAIL), await book.person("Eve", small, EMAIL)
    flo = await book.person("Flo", small, EMAIL)
    await book.open(state=state)
    bounced = Row(
        bob, DeliveryState.ACCEPTED, ((5, Fact.BOUNCED_HARD),), reason=Reason.UNKNOWN_ADDRESS
    )
    unseen = Row(bob, DeliveryState.ACCEPTED)
    unclear = Row(flo, DeliveryState.UNCONFIRMED)
    posted = Row(None, DeliveryState.ACCEPTED, ((1, Fact.POSTED),), public=77)
    await book.slice("enterprise", EMAIL, told(ada, 10), bounced, text=WORDS)
    await book.slice("enterprise", SMS, told(ada, 4), lost(bob, Exclusion.NO_CONSENT))
    await book.slice("enterprise", BANNER, unseen)
    email = await book.slice("smb", EMAIL, told(dan, 130), accepted(eve), unclear)
    await book.slice("", SOCIAL, posted, state=SliceState.DONE)
    path = f"/reports/{ctx.signer.public_id(DISPATCH, book.dispatch)}"
    return Story(book, path, email, eve)


async def prove(story: Story) -> None:
    """Eve's e-mail is delivered after all."""
    await story.book.prove(story.email, EMAIL, story.eve, 140)
