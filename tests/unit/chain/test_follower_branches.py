"""The follower on a simulated chain that reorganises at any moment, also between its own reads: whatever happens, what
it has handed on in the end is exactly what the last branch holds, and at every moment it is some branch's prefix."""

import asyncio
import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from soterone.chain.client import ChainClient
from soterone.chain.cursor import InMemoryCursorStore, MemoryCursorTransaction
from soterone.chain.damaged_logs import Reading
from soterone.chain.errors import RpcError, UnknownBlockError
from soterone.chain.events import Event, LogPosition, QueryCleanup
from soterone.chain.follower import Follower
from soterone.chain.records import Block, BlockRef
from soterone.domain.ids import QueryId, hash32

GENESIS = Block(0, hash32(bytes(32)), hash32(bytes(32)), 0, 0)


class SimulatedChain:
    """A chain whose every read may be preceded by a new block or a reorganisation, as `chance` draws them."""

    def __init__(self, seed: int, *, calm: bool = False, widest_range: int = 4) -> None:
        self.chance, self.calm, self.widest_range = random.Random(seed), calm, widest_range  # noqa: S311
        self.branch: list[tuple[Block, tuple[Event, ...]]] = [(GENESIS, ())]
        self.contracts = SimpleNamespace(start_block=1)
        self._made = 0

    def mine(self) -> None:
        parent = self.branch[-1][0]
        self._made += 1
        block = Block(parent.number + 1, hash32(self._made.to_bytes(32)), parent.hash, self._made, 0)
        events = tuple(self._event(block, index) for index in range(self.chance.choice((0, 0, 1, 2))))
        self.branch.append((block, events))

    def reorganise(self) -> None:
        depth = min(self.chance.randint(1, 6), len(self.branch) - 1)
        del self.branch[len(self.branch) - depth :]
        for _ in range(self.chance.randint(0, depth + 1)):
            self.mine()

    def outgrow(self, cursor: BlockRef | None, confirmations: int) -> None:
        """Confirm a block beyond the cursor: a branch that stays shorter for ever looks like a node that lags."""
        while len(self.branch) - confirmations <= (cursor.number if cursor else 0):
            self.mine()

    @property
    def standing(self) -> list[Event]:
        return [event for _, events in self.branch for event in events]

    async def check(self) -> None: ...

    async def head(self) -> Block:
        return self._moved()[-1][0]

    async def block(self, number: int) -> Block | None:
        branch = self._moved()
        return branch[number][0] if number < len(branch) else None

    async def blocks(self, numbers: Sequence[int]) -> list[Block | None]:
        """One request, in the middle of which the chain may move too."""
        views = self._view(), self._view()
        middle = len(numbers) // 2
        return [views[place >= middle].get(number) for place, number in enumerate(numbers)]

    def _view(self) -> dict[int, Block]:
        return {block.number: block for block, _ in self._moved()}

    async def readings_of(self, blocks: Sequence[Block]) -> list[Reading]:
        standing = {known.hash: events for known, events in self._moved()}
        for block in blocks:
            if block.hash not in standing:
                raise UnknownBlockError(block.hash)
        return [Reading(standing[block.hash]) for block in blocks]

    async def logs_between(self, first: int, last: int) -> tuple[Event, ...]:
        branch = self._moved()
        if last - first >= self.widest_range:
            raise RpcError("eth_getLogs", -32005, "too many results")
        return tuple(event for _, events in branch[first : last + 1] for event in events)

    def reading(self, logs: tuple[Event, ...]) -> Reading:
        """This chain's logs are events already."""
        return Reading(logs)

    def _moved(self) -> list[tuple[Block, tuple[Event, ...]]]:
        if not self.calm:
            draw = self.chance.random()
            if draw < 0.15:
                self.reorganise()
            elif draw < 0.4:
                self.mine()
        return self.branch

    def _event(self, block: Block, index: int) -> Event:
        transaction = hash32((self._made * 100 + index).to_bytes(32))
        position = LogPosition(1, block.number, index, block.hash, transaction)
        return QueryCleanup(position, QueryId(transaction))


class Journal:
    """Keeps what stands, and checks at each step that it is in order and of one branch."""

    def __init__(self) -> None:
        self.applied: list[tuple[Block, Event]] = []

    async def apply(
        self, transaction: MemoryCursorTransaction, block: Block, events: Sequence[Event]
    ) -> None:
        assert events
        assert all(event.position.block_hash == block.hash for event in events)
        assert not self.applied or self.applied[-1][0].number < block.number
        self.applied += [(block, event) for event in events]

    async def undo(
        self, transaction: MemoryCursorTransaction, removed: Sequence[BlockRef], ancestor: BlockRef | None
    ) -> None:
        above = -1 if ancestor is None else ancestor.number
        gone = {one.hash for one in removed}
        assert all(block.hash in gone for block, _ in self.applied if block.number > above)
        self.applied = [one for one in self.applied if one[0].number <= above]


async def follow(seed: int, confirmations: int, rounds: int) -> None:
    chain, journal = SimulatedChain(seed), Journal()
    follower = Follower(
        cast(ChainClient, cast(Any, chain)),
        InMemoryCursorStore(),
        journal,
        confirmations=confirmations,
        range_blocks=16,
        near_blocks=chain.chance.choice((1, 3, 100)),
    )
    for _ in range(rounds):
        for _ in range(chain.chance.randint(0, 8)):
            chain.mine()
        chain.calm = False
        await follower.catch_up()
        chain.calm = True
        chain.outgrow(follower.confirmed, confirmations)
        await follower.catch_up()
        head = chain.branch[-1][0].number
        standing = [one for one in chain.standing if one.position.block_number <= head - confirmations + 1]
        assert [event for _, event in journal.applied] == standing


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), confirmations=st.integers(1, 3))
def test_what_stands_is_what_was_handed_on(seed: int, confirmations: int) -> None:
    asyncio.run(asyncio.wait_for(follow(seed, confirmations, rounds=6), 20))


async def test_a_node_that_lags_behind_the_cursor_undoes_nothing() -> None:
    chain, journal = SimulatedChain(1, calm=True), Journal()
    for _ in range(9):
        chain.mine()
    follower = Follower(cast(ChainClient, cast(Any, chain)), InMemoryCursorStore(), journal, range_blocks=3)
    await follower.catch_up()
    before, whole = list(journal.applied), list(chain.branch)
    chain.branch = whole[:5]
    await follower.catch_up()
    assert journal.applied == before
    chain.branch = whole
    chain.mine()
    await follower.catch_up()
    assert [event for _, event in journal.applied] == chain.standing
