"""A query's events as they come in: told to the person, and turned into the seconds of each phase."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final

from scripts.demo.narrator import Narrator
from soterone.cli.output import plain
from soterone.rest.queries import QueryEvent

PHASES: Final = ("align", "share", "train", "deliver")
_TOLD: Final = {
    "dispatched": "QueryDispatched is on chain; from here on the coordinator only watches",
    "delivering": "two sealed result shares are stored",
    "completed": "QueryCompleted is on chain",
}


class Progress:
    """Remembers when the first participant entered each phase; what owners deliver while others train is no phase."""

    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator
        self._entered: dict[str, float] = {}
        self._told: set[tuple[str, str]] = set()

    def take(self, event: QueryEvent) -> None:
        """Take in the next event."""
        if event.kind in _TOLD:
            self._narrator.say(_TOLD[event.kind])
        if event.kind == "progress":
            self._take_progress(
                str(event.data["phase"]), str(event.data["node"]), str(event.data.get("detail", "")), event.at
            )

    def seconds(self, completed: float) -> dict[str, float]:
        """Return how long each phase took, up to the monotonic second at which the query was completed."""
        entered = [*(self._entered.get(phase) for phase in PHASES), completed]
        found: dict[str, float] = {}
        for index, phase in enumerate(PHASES):
            start = entered[index]
            later = [at for at in entered[index + 1 :] if at is not None]
            found[phase] = max(0.0, min(later) - start) if start is not None else 0.0
        return found

    def _take_progress(self, phase: str, node: str, detail: str, at: str) -> None:
        if phase not in self._entered and (phase != "deliver" or "train" in self._entered):
            age = max(0.0, time.time() - datetime.fromisoformat(at).timestamp())
            self._entered[phase] = time.monotonic() - age
        key = (phase, detail or node)
        if key not in self._told:
            self._told.add(key)
            told = f": {plain(detail)}" if detail else ""
            self._narrator.say(f"[cyan]{phase}[/]{told} [dim]({self._narrator.name(node)})[/]")
