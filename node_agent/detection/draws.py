"""Whom the chain drew to judge which node, by this agent's own reading of it."""

import time
from collections.abc import Callable

from soterone.chain.quorum import Quorum
from soterone.domain.ids import Account
from soterone.domain.panels import Bench, TooFewSeatsError

_FRESH_SECONDS = 5.0
"""How long an answer of the chain is believed without asking again: a reorganisation may change it."""

_NONE_FRESH_SECONDS = 0.2
"""As long for an epoch without panels, which gets them soon: any node may make this one ask by probing it."""

_MAX_KEPT = 4


class Draws:
    """The panels of recent epochs. May raise what a `ChainClient` raises."""

    def __init__(self, quorum: Quorum, clock: Callable[[], float] = time.monotonic) -> None:
        self._quorum, self._clock = quorum, clock
        self._benches: dict[int, tuple[float, Bench | None]] = {}
        self._epoch = (float("-inf"), 0)

    async def present_epoch(self) -> int:
        """Return the epoch of the latest block."""
        read_at, epoch = self._epoch
        if self._clock() - read_at > 1.0:
            epoch = await self._quorum.present_epoch()
            self._epoch = self._clock(), epoch
        return epoch

    async def bench(self, epoch: int) -> Bench | None:
        """Return what the epoch's panels follow from, None while it has none."""
        read_at, bench = self._benches.get(epoch, (float("-inf"), None))
        if self._clock() - read_at > (_FRESH_SECONDS if bench else _NONE_FRESH_SECONDS):
            bench = await self._quorum.bench_of(epoch)
            self._benches[epoch] = self._clock(), bench
            for old in sorted(self._benches)[:-_MAX_KEPT]:
                del self._benches[old]
        return bench

    async def panel(self, node: Account, operator: Account, epoch: int) -> tuple[Account, ...]:
        """Return who judges a node in an epoch, in ascending order; empty while nobody does."""
        bench = await self.bench(epoch)
        try:
            return () if bench is None else bench.panel_on(node, operator)
        except TooFewSeatsError:
            return ()
