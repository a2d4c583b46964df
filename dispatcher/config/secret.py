"""The secret that signs ids and tokens."""

import secrets
from pathlib import Path

from dispatcher.config.model import Settings


def signing_secret(settings: Settings, data_dir: Path | None = None) -> str:
    """The secret that signs ids and tokens.

    Without one in the settings it is made once, in `data_dir` (default: the embedded folder, which
    must exist), readable by its owner only. Safe when many processes start at once.
    """
    if settings.secret is not None:
        return settings.secret.get_secret_value()
    path = (data_dir or settings.embedded.dir) / "secret"
    if not path.exists():
        draft = path.with_name(f"secret.{secrets.token_hex(8)}")
        draft.touch(mode=0o600)
        try:
            draft.write_text(secrets.token_hex(32))
            # A hard link appears complete or not at all; the first one wins.
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()
