"""The events of a chain with the headers of their blocks, read in bounded ranges, and compared with a second source."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from soterone.audit.headers import Header, headers_at
from soterone.audit.report import Finding
from soterone.chain.bloom import bloom_of
from soterone.chain.client import ChainClient
from soterone.chain.damaged_logs import DamagedLog
from soterone.chain.errors import ChainError
from soterone.chain.events import Event, LogPosition, RawLog
from soterone.chain.log_ranges import LogRanges
from soterone.domain.ids import Hash32, hash32

_SHOWN_DIFFERENCES = 20


class ReorganisedError(ChainError):
    """The chain changed while it was read."""

    def __init__(self) -> None:
        super().__init__("The chain was reorganised while it was read: run the audit again.")


@dataclass(frozen=True, slots=True)
class History:
    """The events of the contracts from `first_block` up to `head`, in order; `headers` by height, those of all blocks
    with events at least."""

    first_block: int
    head: Header
    events: tuple[Event, ...]
    headers: Mapping[int, Header]

    def time_of(self, event: Event) -> int:
        """Return the timestamp of an event's block, in seconds since 1970."""
        return self.headers[event.position.block_number].block.timestamp

    def by_transaction(self) -> Iterator[tuple[LogPosition, tuple[Event, ...]]]:
        """Yield the events of each transaction, with the position of its first."""
        for _, group in groupby(self.events, key=lambda one: one.position.transaction_hash):
            events = tuple(group)
            yield events[0].position, events


@dataclass(frozen=True, slots=True)
class Read:
    """A history, and what its sources contradict each other or their headers in."""

    history: History
    findings: tuple[Finding, ...]


async def read_history(
    chain: ChainClient, head: Header, first_block: int, second: ChainClient | None = None
) -> Read:
    """Read every event from `first_block` up to `head`; `second` is asked for the same. A log that is no event is
    named, and the rest read.

    Errors: ReorganisedError when blocks changed meanwhile, ForgedHeaderError, UnplacedLogError.
    """
    logs = await logs_between(chain, first_block, head.block.number)
    reading = chain.reading(logs)
    events = reading.events
    positions = [*(one.position for one in events), *(one.position for one in reading.damaged)]
    headers = await headers_at(chain, sorted({one.block_number for one in positions}))
    if any(headers[one.block_number].block.hash != one.block_hash for one in positions):
        raise ReorganisedError
    findings = [*_damaged(reading.damaged), *_unannounced(logs, headers)]
    if second is not None:
        others = await logs_between(second, first_block, head.block.number)
        findings += _differences(chain, logs, second, others)
    return Read(History(first_block, head, events, headers), tuple(findings))


async def logs_between(
    chain: ChainClient, first: int, last: int, kinds: Collection[type[Event]] = ()
) -> list[RawLog]:
    """Read the logs of a range, only those of some kinds when any are named; in halves wherever the node finds it too
    large."""
    return await LogRanges().read_all(first, last, partial(chain.logs_between, kinds=kinds))


def _damaged(logs: Iterable[DamagedLog]) -> Iterator[Finding]:
    for log in logs:
        yield Finding(f"{log}: the contract is broken, or the RPC lies")


def _unannounced(logs: Sequence[RawLog], headers: Mapping[int, Header]) -> Iterator[Finding]:
    """Complain of blocks whose header, by its Bloom filter, knows less than the RPC tells of it. There are chains whose
    headers never have one."""
    if not any(header.block.logs_bloom for header in headers.values()):
        return
    for number, group in groupby(logs, key=lambda log: int(log["blockNumber"], 16)):
        bloom = headers[number].block.logs_bloom if number in headers else 0
        if number in headers and bloom_of(group) & ~bloom:
            yield Finding(f"the RPC shows logs of block {number} that the block's header does not announce")


def _differences(
    chain: ChainClient, logs: Iterable[RawLog], second: ChainClient, others: Iterable[RawLog]
) -> Iterator[Finding]:
    left, right = Counter(map(_identity, logs)), Counter(map(_identity, others))
    for one, other, only in ((chain, second, left - right), (second, chain, right - left)):
        for block, transaction, index, *_ in sorted(only)[:_SHOWN_DIFFERENCES]:
            yield Finding(
                f"{one.rpc.endpoint} shows log {index} of block {block} (transaction {transaction}) otherwise than "
                f"{other.rpc.endpoint}, or alone"
            )


def _identity(log: RawLog) -> tuple[int, Hash32, int, Hash32, str, tuple[str, ...], str]:
    return (
        int(log["blockNumber"], 16),
        hash32(log["transactionHash"]),
        int(log["logIndex"], 16),
        hash32(log["blockHash"]),
        log["address"].lower(),
        tuple(log["topics"]),
        log["data"],
    )
