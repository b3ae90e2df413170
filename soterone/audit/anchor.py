"""Which block is audited, and who besides the RPC confirms it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soterone.audit.headers import Header, header_at, header_of, headers_at
from soterone.audit.report import Anchor, AnchorKind, Finding
from soterone.chain.client import ChainClient
from soterone.domain.ids import Hash32

REACH_BLOCKS = 20_000
"""So far below a pinned block parent hashes are followed."""

_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Chosen:
    """The header that the audit ends at, with its anchor and what the sources contradict each other in."""

    header: Header
    anchor: Anchor
    findings: tuple[Finding, ...] = ()


async def choose(
    chain: ChainClient, second: ChainClient | None = None, pinned: Hash32 | None = None
) -> Chosen:
    """Return the pinned block, else the newest that both RPCs know, else the newest; its hash is computed anew.

    Errors: UnknownBlockError, ForgedHeaderError.
    """
    header = await header_of(chain, pinned) if pinned else await _newest(chain, second)
    number = header.block.number
    findings = await confirm(second, [header]) if second else ()
    if pinned:
        return Chosen(header, Anchor(AnchorKind.PINNED_HASH, number), findings)
    if second and not findings:
        return Chosen(header, Anchor(AnchorKind.SECOND_RPC, number))
    return Chosen(header, Anchor(), findings)


async def confirm(second: ChainClient, headers: Sequence[Header]) -> tuple[Finding, ...]:
    """Complain of every header for which another RPC has another one."""
    found = await second.blocks([one.block.number for one in headers])
    return tuple(
        Finding(
            f"block {one.block.number} is {one.block.hash}, but {second.rpc.endpoint} says "
            f"{other.hash if other else 'that there is none'}"
        )
        for one, other in zip(headers, found, strict=True)
        if other is None or other.hash != one.block.hash
    )


async def follow_parents(
    chain: ChainClient, header: Header, known: Mapping[int, Header]
) -> tuple[Finding, ...]:
    """Follow the parent hashes down from an anchored block to the lowest of `known`, and complain of the first block
    that is none of its ancestors. Errors: UnknownBlockError, ForgedHeaderError."""
    child, lowest = header.block, min(known, default=header.block.number)
    while child.number > lowest:
        numbers = range(max(lowest, child.number - _AT_ONCE), child.number)
        read = {**await headers_at(chain, list(numbers)), **known}
        for number in reversed(numbers):
            parent = read[number].block
            if parent.hash != child.parent_hash:
                sentence = (
                    f"block {number} is shown as {parent.hash}, but block {child.number} has the parent"
                )
                return (Finding(f"{sentence} {child.parent_hash}"),)
            child = parent
    return ()


async def _newest(chain: ChainClient, second: ChainClient | None) -> Header:
    head = (await chain.head()).number
    if second:
        head = min(head, (await second.head()).number)
    return await header_at(chain, head)
