"""How many things of one kind each caller may have open at once."""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from coordinator.errors import TooMany


class Quota:
    """At most `limit` at once for each key, in this process. `what` says of what, for the refusal."""

    def __init__(self, limit: int, what: str) -> None:
        self._limit = limit
        self._what = what
        self._held: Counter[Hashable] = Counter()

    def check(self, key: Hashable) -> None:
        """TooMany when the key has as many as it may."""
        if self._held[key] >= self._limit:
            raise TooMany(f"{self._limit} {self._what} at once are enough; wait until one has ended")

    @contextmanager
    def hold(self, key: Hashable) -> Iterator[None]:
        """Count one for the length of a block; TooMany when the key has as many as it may."""
        self.check(key)
        self._held[key] += 1
        try:
            yield
        finally:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]
