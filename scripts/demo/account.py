"""The demo's account of itself: what happened when, in numbers. Its JSON is what other programs read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """An event of the query on chain; seconds since the order was signed."""

    name: str
    block: int
    tx: str
    at_seconds: float


@dataclass(slots=True)
class DemoAccount:
    """Filled in as the demo goes on; seconds everywhere, scores 0 to 1."""

    query: dict[str, Any] = field(default_factory=dict)
    events: list[TimedEvent] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    reputation: dict[str, dict[str, float]] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=dict)
    chain: dict[str, Any] = field(default_factory=dict)
    leftovers: list[str] = field(default_factory=list)
    kill: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the document of `--json`."""
        return asdict(self)
