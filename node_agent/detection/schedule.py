"""When a detector does what: fractions of an epoch, in seconds since 1970 by a clock like the chain's. Pure.

Rounds lie apart, and their start in the window is drawn, so that what a node does at fixed times accuses nobody.
"""

from dataclasses import dataclass

from node_agent.detection.verdict import ROUNDS

_ROUNDS_FROM, _ROUNDS_TO = 0.08, 0.68
_VOTES_AT, _COMMITMENTS_AT, _LAST_COMMITMENT_AT = 0.72, 0.78, 0.92
_REVEALS_AT, _LAST_REVEAL_AT = 0.04, 0.9
"""Votes are shown only when the epoch of their commitments is over for a while: a reorganisation could reopen it."""

REVEAL_WAITS = (0.0, 0.1, 0.3, 0.6)
"""At which parts of the time for reveals votes are shown: some members come late."""


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` until `end`, in seconds since 1970."""

    start: float
    end: float

    def within(self, fraction: float) -> float:
        """Return a moment of it."""
        return self.start + fraction * (self.end - self.start)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The times of one epoch. Epoch = block time // `epoch_seconds`."""

    epoch: int
    epoch_seconds: int

    def round(self, number: int) -> Window:
        """When the challenges of a round are asked."""
        share = (_ROUNDS_TO - _ROUNDS_FROM) / ROUNDS
        return self._window(_ROUNDS_FROM + number * share, _ROUNDS_FROM + (number + 0.95) * share)

    @property
    def votes(self) -> Window:
        """When hashes of votes are exchanged."""
        return self._window(_VOTES_AT, _COMMITMENTS_AT)

    @property
    def commitments(self) -> Window:
        """When they go to the chain."""
        return self._window(_COMMITMENTS_AT, _LAST_COMMITMENT_AT)

    @property
    def reveals(self) -> Window:
        """When the votes of the epoch before are shown and upheld."""
        return self._window(_REVEALS_AT, _LAST_REVEAL_AT)

    @property
    def end(self) -> float:
        """When the next epoch begins."""
        return float((self.epoch + 1) * self.epoch_seconds)

    def _window(self, start: float, end: float) -> Window:
        begin = self.epoch * self.epoch_seconds
        return Window(begin + start * self.epoch_seconds, begin + end * self.epoch_seconds)
