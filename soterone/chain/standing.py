"""What the contracts' views say of an account at one block, and what follows from it by the formula."""

import asyncio
from dataclasses import dataclass

from soterone.chain.client import ChainClient
from soterone.chain.errors import UnknownBlockError
from soterone.chain.racing import ask_again
from soterone.chain.records import Block, NodeStatus
from soterone.domain.ids import Account
from soterone.domain.reputation import Record, as_of, expectation, lower_bound, tenure_cap


@dataclass(frozen=True, slots=True)
class Standing:
    """An account's standing after a block; scores, evidence and credibility in 1e9 fixed point.

    Attributes:
        block: that block; "now" below is its time.
        status, incarnation: the registry's; 0 when it never registered.
        record: as it is stored, undecayed since its last epoch.
        epoch: the present one.
        score: R' now, as the contract says it.
        expectation, tenure_cap: E and its bound, both now; the score is the lower of them.
        lower_bound: by which nodes are drawn, now.
        credibility: as a customer.
    """

    block: Block
    status: NodeStatus
    incarnation: int
    record: Record
    epoch: int
    score: int
    expectation: int
    tenure_cap: int
    lower_bound: int
    credibility: int


async def read_standing(chain: ChainClient, account: Account, block_number: int | None = None) -> Standing:
    """Read an account's standing as of a block, or of the newest; that of a newcomer when nothing was ever observed.

    UnknownBlockError when the RPC does not have the block.
    """
    block = await _block(chain, block_number)
    epoch_seconds, node, stored, credibility = await asyncio.gather(
        chain.epoch_seconds(),
        chain.node_of(account, block.number),
        chain.record_of(account, block.number),
        chain.credibility_of(account, block.number),
    )
    record, epoch = Record(*stored), block.timestamp // epoch_seconds
    now = as_of(record, epoch, node.incarnation)
    expected, cap = expectation(now.good, now.bad), tenure_cap(now.last_epoch - now.born_epoch)
    (score,) = await ask_again(
        lambda: chain.scores_of([account], block.number), lambda scores: scores == (min(expected, cap),)
    )
    return Standing(
        block,
        node.status,
        node.incarnation,
        record,
        epoch,
        score,
        expected,
        cap,
        lower_bound(now, epoch),
        credibility,
    )


async def _block(chain: ChainClient, number: int | None) -> Block:
    if number is None:
        return await chain.head()
    block = await chain.block(number)
    if block is None:
        raise UnknownBlockError(number)
    return block
