"""Waiting times between tries: exponential with jitter, so that nodes that failed together do not return so."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds to wait before each further try, drawn between half of a step and the whole of it."""

    first_seconds: float
    longest_seconds: float
    factor: float = 2.0
    rng: random.Random = field(default_factory=random.SystemRandom)

    def waits(self) -> Iterator[float]:
        """Yield waiting times without end."""
        step = self.first_seconds
        while True:
            yield self.rng.uniform(step / 2, step)
            step = min(step * self.factor, self.longest_seconds)
