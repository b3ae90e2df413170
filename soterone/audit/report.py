"""What an audit found: each check with its figure and every contradiction as a sentence."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One question put to the chain; it passed when there is no contradiction. `examined` counts what was compared."""

    name: str
    examined: int
    contradictions: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing contradicts."""
        return not self.contradictions


@dataclass(frozen=True, slots=True)
class Report:
    """All checks of one chain up to one block."""

    chain_id: int
    last_block: int
    last_block_hash: str
    events: int
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)
