"""What of the chain's draws is remembered, and for how long."""

from dataclasses import dataclass
from typing import cast

from node_agent.detection.draws import Draws
from soterone.chain.quorum import Quorum
from soterone.domain.panels import Bench, Terms

BENCH = Bench(Terms(1, 1, 1, 4, 0), (), 1)


@dataclass
class CountedQuorum:
    """A quorum whose epochs have this bench; counts how often it is asked."""

    bench: Bench | None = None
    asked: int = 0

    async def bench_of(self, epoch: int) -> Bench | None:
        self.asked += 1
        return self.bench


async def test_whoever_probes_does_not_make_a_node_ask_the_chain_each_time() -> None:
    quorum, now = CountedQuorum(), [0.0]
    draws = Draws(cast(Quorum, quorum), lambda: now[0])
    for _ in range(9):
        assert await draws.bench(7) is None
    assert quorum.asked == 1
    quorum.bench, now[0] = BENCH, 0.3
    for _ in range(9):
        assert await draws.bench(7) == BENCH
    assert quorum.asked == 2
    now[0] = 6.0
    assert await draws.bench(7) == BENCH
    assert quorum.asked == 3
