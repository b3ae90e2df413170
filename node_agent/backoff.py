"""Waiting longer after each failure, with jitter, so that nodes that failed together do not come back together."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waits in seconds; each is drawn between half of its step and the whole."""

    first_seconds: float = 0.2
    longest_seconds: float = 5.0
    factor: float = 2.0
    rng: random.Random = field(default_factory=random.SystemRandom)

    def waits(self) -> Iterator[float]:
        """Yield waiting times without end; ask anew after a success."""
        step = self.first_seconds
        while True:
            yield self.rng.uniform(step / 2, step)
            step = min(step * self.factor, self.longest_seconds)
