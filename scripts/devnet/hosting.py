"""Where the parties of a network run: the address that each listens on, and how a program is started at its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

LOOPBACK_ADDRESS = "127.0.0.1"


class Hosting(Protocol):
    """A place for each party, known by the party's name."""

    def address(self, party: str) -> str:
        """Return the address that a party listens on and is reached at."""

    def command(self, party: str, command: Sequence[str]) -> list[str]:
        """Return the command that starts a party's program at its place."""


class Loopback:
    """Everybody on the loopback of this machine."""

    def address(self, party: str) -> str:
        """Return the loopback's address."""
        return LOOPBACK_ADDRESS

    def command(self, party: str, command: Sequence[str]) -> list[str]:
        """Return the command as it is."""
        return list(command)
