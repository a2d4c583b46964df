"""A person has paused a channel: nothing more leaves on it until its end, or until somebody resumes it.

It is no affair of senders: those are stopped and let go by what their providers answer.
"""

from typing import Final

PAUSED: Final = """
exists (select from channel_pause p where p.channel = {channel} and coalesce(p.until > {now}, true))
"""
"""SQL: whether `channel`, a code, is paused at `now`; without an end it stays so."""
