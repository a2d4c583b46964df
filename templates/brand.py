"""Who is speaking: names, addresses, contact blocks and colours that every message carries."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, EmailStr, StringConstraints, model_validator

from templates.plain import Line, ShortLine

Colour = Annotated[str, StringConstraints(pattern="^#[0-9a-fA-F]{6}$")]
# Providers refuse these in a sender's name, and a few receivers show its escape sequence.
SenderName = Annotated[ShortLine, StringConstraints(pattern=r"^[^;,<>\"]+$")]

_READABLE = 4.5  # WCAG 2.2, 1.4.3: the contrast that text of normal size needs
_FULL = 255
_WHITE = "#ffffff"


def contrast(one: str, other: str) -> float:
    """The WCAG contrast ratio of two `#rrggbb` colours, 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(int(colour[i : i + 2], 16) / _FULL) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    if value <= 0.04045:  # noqa: PLR2004 - constants of the sRGB definition
        return value / 12.92
    return float(((value + 0.055) / 1.055) ** 2.4)


class Contact(BaseModel):
    """How to reach a human, line by line; a segment without lines reads the words files' own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enterprise: tuple[Line, ...] = ()
    smb: tuple[Line, ...] = ()
    internal: tuple[Line, ...] = ()


class Brand(BaseModel):
    """The operator's voice and addresses. The defaults are the demo's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ShortLine = "Acme Cloud"
    short_name: Annotated[ShortLine, StringConstraints(max_length=15)] = "Acme"
    postal_address: Line = "1 Example Street, Springfield"
    support_email: EmailStr = "support@example.com"
    support_phone: ShortLine = "+1 555 0100"
    from_email: EmailStr = "status@example.com"
    from_name: SenderName = "Acme Cloud Status"
    reply_to: EmailStr = "support@example.com"
    unsubscribe_email: EmailStr = "unsubscribe@example.com"
    contact: Contact = Contact()
    contract_line: Line = "We send you this notice under our service agreement with you."
    accent: Colour = "#1d4ed8"
    accent_on_dark: Colour = "#9dbdff"

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        if contrast(self.accent, _WHITE) < _READABLE:
            raise ValueError(
                "accent is too light: links and buttons need a contrast of 4.5 to white"
            )
        if contrast(self.accent_on_dark, "#16181d") < _READABLE:
            raise ValueError(
                "accent_on_dark is too dark: links need a contrast of 4.5 to the dark background"
            )
        return self

    @property
    def domain(self) -> str:
        """The domain that mail is sent from."""
        return self.from_email.rpartition("@")[2]
