"""Draws of successors that no honest coordinator would have announced, each rule broken once."""

from dataclasses import replace

import pytest

from soterone.audit.draws import OLDEST_SEED_BLOCKS, check_draw
from soterone.audit.lifecycles import Lifecycle, Replaced
from soterone.audit.registry import RegistryReplay
from soterone.audit.scores import ScoreReplay
from soterone.chain.events import LogPosition, MPCUpdated, NodeRegistered
from soterone.chain.openings import Opening, Roster, Terms
from soterone.chain.records import Block
from soterone.domain.candidates import MOST_CANDIDATES, Candidate, successor
from soterone.domain.ids import Account, QueryId, hash32, hash_bytes
from soterone.domain.reputation import Record
from soterone.domain.reputation_book import ReputationBook
from soterone.domain.roles import Role

DISPATCHED, SEED, ANNOUNCED, DAY = 10, 300, 305, 86_400
HASH, QUERY = hash32(b"\x02" * 32), QueryId("0x" + "3" * 64)
BLOCK = Block(SEED, hash32(b"\x05" * 32), HASH, 1_000 * DAY, 0)


def node(number: int) -> Account:
    return Account(f"0x{number:040x}")


OWNER, TRIO, SPARES = node(1), (node(2), node(3), node(4)), tuple(node(number) for number in range(5, 9))
BEFORE = Lifecycle(
    Opening(Roster(node(9), (OWNER,), TRIO), Terms(bytes(32), bytes(32), 60, 60, 60, 2)), 0, DISPATCHED, 0
)
DRAWN = successor(
    hash_bytes(BLOCK.hash),
    [Candidate.of_record(one, one, 256, Record(), 1_000) for one in SPARES],
    0,
    frozenset(TRIO[1:]),
)
HONEST = MPCUpdated(LogPosition(1, ANNOUNCED, 0, HASH, HASH), QUERY, TRIO[0], DRAWN, 1, SEED, SPARES)


def complaints(
    event: MPCUpdated, operator: Account | None = None, blocks: tuple[Block, ...] = (BLOCK,)
) -> str:
    registry = RegistryReplay()
    for place, one in enumerate((*TRIO, *SPARES)):
        at = LogPosition(1, 1, place, HASH, HASH)
        owner = operator if operator and one in SPARES else one
        registry.apply(NodeRegistered(at, one, owner, 1, int(Role.MPC_NODE), 256, HASH, HASH))
    scores = ScoreReplay(ReputationBook(DAY, 7 * DAY))
    known = {block.number: block for block in blocks}
    return "\n".join(one.sentence for one in check_draw(Replaced(event, BEFORE), known, registry, scores))


def test_an_honest_draw_repeats() -> None:
    assert complaints(HONEST) == ""


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        (replace(HONEST, new_mpc=next(one for one in SPARES if one != DRAWN)), f"block {SEED} draws {DRAWN}"),
        (replace(HONEST, seed_block=DISPATCHED), "which is not of the time of the loss"),
        (replace(HONEST, seed_block=ANNOUNCED), "which is not of the time of the loss"),
        (
            replace(HONEST, seed_block=ANNOUNCED - OLDEST_SEED_BLOCKS - 1),
            "which is not of the time of the loss",
        ),
        (
            replace(HONEST, seed_block=SEED - 1),
            f"the seed of block {SEED - 1}, which the chain does not have",
        ),
        (replace(HONEST, candidates=()), "drew a successor among 0 candidates"),
        (
            replace(HONEST, candidates=SPARES * MOST_CANDIDATES),
            f"drew a successor among {len(SPARES) * MOST_CANDIDATES} candidates",
        ),
        (replace(HONEST, candidates=(*SPARES, SPARES[0])), "that stand twice or took part already"),
        (replace(HONEST, candidates=(*SPARES, TRIO[1])), "that stand twice or took part already"),
        (replace(HONEST, candidates=(*SPARES, node(77))), f"of which {node(77)} was no active MPC node"),
    ],
)
def test_a_broken_rule_is_named(event: MPCUpdated, complaint: str) -> None:
    assert complaint in complaints(event)


def test_candidates_of_the_survivors_operators_cannot_follow() -> None:
    assert "of whom none may take the place" in complaints(HONEST, operator=TRIO[1])
