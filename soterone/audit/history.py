"""The events of a chain with the times of their blocks, read in bounded ranges."""

from collections.abc import Mapping
from dataclasses import dataclass

from soterone.chain.client import ChainClient
from soterone.chain.errors import ChainError
from soterone.chain.events import Event
from soterone.chain.records import Block

RANGE_BLOCKS = 2_000
BATCH_BLOCKS = 200


class ReorganisedError(ChainError):
    """The chain changed while it was read."""

    def __init__(self) -> None:
        super().__init__("the chain was reorganised while it was read: run the audit again")


@dataclass(frozen=True, slots=True)
class History:
    """Every event of the contracts up to `head`, in order; `times` are block timestamps (s) by height."""

    head: Block
    events: tuple[Event, ...]
    times: Mapping[int, int]

    def time_of(self, event: Event) -> int:
        """Return the timestamp of an event's block, in seconds since 1970."""
        return self.times[event.position.block_number]


async def read_history(chain: ChainClient) -> History:
    """Read everything since the deployment; ReorganisedError when blocks changed meanwhile."""
    head = await chain.head()
    events: list[Event] = []
    for first in range(chain.contracts.start_block, head.number + 1, RANGE_BLOCKS):
        events += await chain.events_between(first, min(first + RANGE_BLOCKS - 1, head.number))
    blocks = await _blocks(chain, sorted({event.position.block_number for event in events}))
    if any(blocks[event.position.block_number].hash != event.position.block_hash for event in events):
        raise ReorganisedError
    return History(head, tuple(events), {number: block.timestamp for number, block in blocks.items()})


async def _blocks(chain: ChainClient, numbers: list[int]) -> dict[int, Block]:
    found: dict[int, Block] = {}
    for start in range(0, len(numbers), BATCH_BLOCKS):
        for block in await chain.blocks(numbers[start : start + BATCH_BLOCKS]):
            if block is None:
                raise ReorganisedError
            found[block.number] = block
    return found
