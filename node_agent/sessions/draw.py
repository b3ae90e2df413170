"""Repeating the draw of a successor from the chain alone, before anything is shared with it."""

import asyncio

from node_agent.sessions.context import AgentContext
from node_agent.sessions.order import Order, OrderRefusedError, Replacement
from node_agent.sessions.ports import Chain
from soterone.chain.errors import ChainError, UnknownBlockError
from soterone.chain.records import Block, NodeStatus
from soterone.domain.candidates import MOST_CANDIDATES, Candidate, TooFewCandidatesError, successor
from soterone.domain.ids import Account, hash_bytes
from soterone.domain.reputation import Record
from soterone.domain.roles import Role

OLDEST_SEED_BLOCKS = 256
"""A seed so much older than its announcement leaves too many blocks to choose among."""

DRAW_PATIENCE_SECONDS = 60.0
"""How long this node's RPC may lack the state of the seed block before the node gives up."""


async def check_draw(context: AgentContext, order: Order, minimum_version: int) -> None:
    """Return when the order's newest successor is the one that its seed draws; OrderRefusedError otherwise.

    The seed block must lie after the dispatch and before the announcement, so that nobody could choose it. After a
    reorganisation the successor that its earlier hash drew is as good, for a node that has seen that hash.
    """
    if (drawn := order.drawn) is None:
        return
    oldest = max(order.dispatched_block + 1, drawn.block - OLDEST_SEED_BLOCKS)
    if not oldest <= drawn.seed_block < drawn.block:
        raise OrderRefusedError("The successor was drawn by a block that is not of the time of the loss.")
    if not 0 < len(drawn.candidates) <= MOST_CANDIDATES:
        raise OrderRefusedError(f"The successor was drawn among {len(drawn.candidates)} candidates.")
    members = {*order.participants, *order.lost} - {drawn.new}
    if len(set(drawn.candidates)) < len(drawn.candidates) or not members.isdisjoint(drawn.candidates):
        raise OrderRefusedError(
            "The successor was drawn among candidates that stand twice or took part already."
        )
    survivors = tuple(mpc for mpc in order.mpcs if mpc != drawn.new)
    if drawn.new not in await _until_read(context, drawn, survivors, minimum_version):
        raise OrderRefusedError(
            f"The successor {drawn.new} is not the one that the seed of block {drawn.seed_block} draws."
        )


async def _until_read(
    context: AgentContext, drawn: Replacement, survivors: tuple[Account, ...], minimum_version: int
) -> set[Account]:
    deadline = context.clock() + DRAW_PATIENCE_SECONDS
    for wait in context.backoff.waits():
        try:
            return await _drawn(context, drawn, survivors, minimum_version)
        except TooFewCandidatesError as error:
            raise OrderRefusedError(
                "None of the announced candidates may take the lost node's place."
            ) from error
        except ChainError as error:
            if context.clock() + wait > deadline:
                raise OrderRefusedError(
                    f"This node cannot repeat the draw of the successor: its RPC does not give the state of block "
                    f"{drawn.seed_block}."
                ) from error
        await asyncio.sleep(wait)
    raise AssertionError("waits never end")


async def _drawn(
    context: AgentContext, drawn: Replacement, survivors: tuple[Account, ...], minimum_version: int
) -> set[Account]:
    chain = context.chain
    block = await chain.block(drawn.seed_block)
    if block is None:
        raise UnknownBlockError(drawn.seed_block)
    epoch = block.timestamp // await chain.epoch_seconds()
    candidates = await asyncio.gather(*(_candidate(chain, one, block, epoch) for one in drawn.candidates))
    nodes = await asyncio.gather(*(chain.node_of(one, block.number) for one in survivors))
    taken = frozenset(node.operator for node in nodes)
    seeds = {block.hash, *context.seen_hashes(block.number)}
    return {successor(hash_bytes(seed), candidates, minimum_version, taken) for seed in seeds}


async def _candidate(chain: Chain, node: Account, block: Block, epoch: int) -> Candidate:
    known, kept = await asyncio.gather(chain.node_of(node, block.number), chain.record_of(node, block.number))
    if known.status is not NodeStatus.ACTIVE or not known.roles & Role.MPC_NODE:
        raise OrderRefusedError(
            f"The successor was drawn among candidates of which {node} is no active MPC node."
        )
    return Candidate.of_record(node, known.operator, known.version, Record(*kept), epoch)
