"""The draws of successors repeated: each by the seed, the nodes and the records that stood after its seed block. Pure.

The query's least version is no part of the chain; candidates that are older are not noticed here, but by the agents.
"""

from collections.abc import Iterator, Mapping

from soterone.audit.lifecycles import Replaced
from soterone.audit.registry import RegistryReplay
from soterone.audit.report import Finding
from soterone.audit.scores import ScoreReplay
from soterone.chain.records import Block, NodeStatus
from soterone.domain.candidates import MOST_CANDIDATES, Candidate, TooFewCandidatesError, successor
from soterone.domain.ids import Account, hash_bytes
from soterone.domain.reputation import Record
from soterone.domain.roles import Role

OLDEST_SEED_BLOCKS = 256
"""A seed so much older than its announcement leaves too many blocks to choose among; agents refuse it."""


def check_draw(
    replaced: Replaced, blocks: Mapping[int, Block], registry: RegistryReplay, scores: ScoreReplay
) -> Iterator[Finding]:
    """Complain of a successor that its seed does not draw. `blocks` holds the seed block by height."""
    query_id = replaced.event.query_id
    for problem in _problems(replaced, blocks, registry, scores):
        yield Finding(f"query {query_id} {problem}", (query_id, replaced.event.new_mpc))


def _problems(
    replaced: Replaced, blocks: Mapping[int, Block], registry: RegistryReplay, scores: ScoreReplay
) -> Iterator[str]:
    event, before = replaced.event, replaced.before
    announced = event.position.block_number
    oldest = max(before.dispatched_block + 1, announced - OLDEST_SEED_BLOCKS)
    if not oldest <= event.seed_block < announced:
        yield f"took the seed of block {event.seed_block}, which is not of the time of the loss"
        return
    if not 0 < len(event.candidates) <= MOST_CANDIDATES:
        yield f"drew a successor among {len(event.candidates)} candidates"
        return
    members = set(before.opening.roster.participants)
    if len(set(event.candidates)) < len(event.candidates) or members & set(event.candidates):
        yield "drew among candidates that stand twice or took part already"
        return
    if event.seed_block not in blocks:
        yield f"took the seed of block {event.seed_block}, which the chain does not have"
        return
    candidates = [_candidate(one, blocks[event.seed_block], registry, scores) for one in event.candidates]
    unfit = [node for node, one in zip(event.candidates, candidates, strict=True) if one is None]
    if unfit:
        yield f"drew among candidates of which {', '.join(unfit)} was no active MPC node"
        return
    yield from _drawn(replaced, [one for one in candidates if one], blocks[event.seed_block], registry)


def _drawn(
    replaced: Replaced, candidates: list[Candidate], seed: Block, registry: RegistryReplay
) -> Iterator[str]:
    event = replaced.event
    survivors = [mpc for mpc in replaced.before.opening.roster.mpcs if mpc != event.old_mpc]
    known = [registry.node_at(one, seed.number) for one in survivors]
    taken = frozenset(one.operator for one in known if one)
    try:
        drawn = successor(hash_bytes(seed.hash), candidates, 0, taken)
    except TooFewCandidatesError:
        yield "drew among candidates of whom none may take the place"
        return
    if drawn != event.new_mpc:
        yield f"was given {event.new_mpc}, but the seed of block {seed.number} draws {drawn}"


def _candidate(node: Account, seed: Block, registry: RegistryReplay, scores: ScoreReplay) -> Candidate | None:
    known = registry.node_at(node, seed.number)
    if known is None or known.status is not NodeStatus.ACTIVE or not known.roles & Role.MPC_NODE:
        return None
    record = scores.record_at(node, seed.number) or Record()
    epoch = seed.timestamp // scores.book.epoch_seconds
    return Candidate.of_record(node, known.operator, known.version, record, epoch)
