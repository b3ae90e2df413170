"""Lives of queries that no honest ledger would have shown, each named by the rule that it breaks."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from soterone.audit.lifecycles import LifecycleReplay, Windows
from soterone.audit.registry import RegistryReplay
from soterone.chain.events import (
    Event,
    FeedbackGiven,
    LogPosition,
    MPCUpdated,
    NodeRegistered,
    NodeUnregistered,
    QueryCleanup,
    QueryCompleted,
    QueryDispatched,
    QueryFailed,
    QuerySettled,
    QuerySubmitted,
    ReplacementLimit,
)
from soterone.domain.ids import Account, Hash32, QueryId
from soterone.domain.roles import Role

HASH, QUERY = Hash32("0x" + "2" * 64), QueryId("0x" + "3" * 64)
AT = LogPosition(1, 1, 0, HASH, HASH)
BEGAN, RUN, RETRY, GRACE = 1_000_000, 3600, 600, 600
WINDOWS = Windows(feedback_seconds=1000, silent_settle_seconds=100)


def node(number: int) -> Account:
    return Account(f"0x{number:040x}")


CUSTOMER, OWNERS, MPCS, SPARE = node(1), (node(2), node(3)), (node(4), node(5), node(6)), node(7)
PARTICIPANTS = (*OWNERS, *MPCS)
SUBMITTED = QuerySubmitted(AT, QUERY, CUSTOMER, HASH)
DISPATCHED = QueryDispatched(AT, QUERY, CUSTOMER, HASH, OWNERS, MPCS, HASH, RUN, RETRY, GRACE)
ORDERED: tuple[Event, ...] = (SUBMITTED, DISPATCHED, ReplacementLimit(AT, QUERY, 2))
COMPLETED, CLEANED = QueryCompleted(AT, QUERY, 0, HASH), QueryCleanup(AT, QUERY)
SETTLED = QuerySettled(AT, QUERY, PARTICIPANTS, (100,) * 5)
RATED = FeedbackGiven(AT, QUERY, CUSTOMER, MPCS[:2], (100, 50))
ENDED = (*ORDERED, COMPLETED, CLEANED, SETTLED)
REPLACED = MPCUpdated(AT, QUERY, MPCS[0], SPARE, 1, 1, (SPARE,))


def registered(one: Account, role: Role, operator: Account | None = None) -> Event:
    return NodeRegistered(AT, one, operator or one, 1, int(role), 256, HASH, HASH)


NODES = (
    *(registered(one, Role.DATA_OWNER) for one in OWNERS),
    *(registered(one, Role.MPC_NODE) for one in (*MPCS, SPARE)),
)


def complaints(events: Sequence[Event], seconds: int = 0, nodes: Sequence[Event] = NODES) -> str:
    """Replay; the last event comes so many seconds after the dispatch."""
    registry = RegistryReplay()
    replay = LifecycleReplay(registry, WINDOWS)
    for place, event in enumerate([*nodes, *events]):
        registry.apply(event)
        replay.apply(event, BEGAN + (seconds if place == len(nodes) + len(events) - 1 else 0))
    replay.finish()
    return "\n".join(one.sentence for one in replay.findings)


@pytest.mark.parametrize(
    ("events", "seconds"),
    [
        (ORDERED, 0),
        ((*ENDED, RATED), 1000),
        ((*ORDERED, QueryFailed(AT, QUERY, 8, node(0))), RUN + RETRY + GRACE),
        ((*ORDERED, QueryFailed(AT, QUERY, 7, node(0))), RUN),
        ((*ORDERED, QueryFailed(AT, QUERY, 1, OWNERS[0])), 5),
        ((*ORDERED, REPLACED, replace(COMPLETED, generation=1)), 9),
    ],
    ids=["ordered", "rated", "abandoned", "timed out", "owner lost", "replaced"],
)
def test_an_honest_life_has_nothing_to_complain_of(events: Sequence[Event], seconds: int) -> None:
    assert complaints(events, seconds) == ""


@pytest.mark.parametrize(
    ("events", "seconds", "complaint"),
    [
        ((SUBMITTED,), 0, "was submitted and never dispatched"),
        ((DISPATCHED,), 0, "as another order than was submitted"),
        ((*ORDERED, SUBMITTED, DISPATCHED), 0, "was dispatched twice"),
        ((SUBMITTED, replace(DISPATCHED, mpcs=MPCS[::-1])), 0, "names its nodes twice or out of order"),
        ((SUBMITTED, replace(DISPATCHED, mpcs=MPCS[:2])), 0, "to another kind of trio"),
        ((SUBMITTED, replace(DISPATCHED, owners=(OWNERS[0], MPCS[0]))), 0, "was no active DATA_OWNER"),
        ((SUBMITTED, replace(DISPATCHED, max_run_seconds=0)), 0, "timers that the ledger refuses"),
        ((*ORDERED[:2], ReplacementLimit(AT, QUERY, 12)), 0, "more participants than the ledger takes"),
        ((*ORDERED, replace(REPLACED, new_mpc=MPCS[1])), 0, "against the rules"),
        ((*ORDERED, replace(REPLACED, candidates=())), 0, "which was no candidate"),
        ((*ORDERED, replace(REPLACED, new_mpc=node(9), candidates=(node(9),))), 0, "no active MPC node"),
        ((*ORDERED, replace(REPLACED, generation=2)), 0, "jumped to generation 2"),
        ((*ORDERED, replace(COMPLETED, generation=1)), 0, "completed in generation 1"),
        ((*ORDERED, COMPLETED, COMPLETED), 0, "was completed while it did not run"),
        ((*ORDERED, CLEANED), 0, "was cleaned up out of turn"),
        ((*ORDERED, QueryFailed(AT, QUERY, 8, node(0))), RUN + RETRY + GRACE - 1, "abandoned 1 s too early"),
        ((*ORDERED, QueryFailed(AT, QUERY, 7, node(0))), RUN - 601, "said to run too long 601 s before"),
        ((*ORDERED, QueryFailed(AT, QUERY, 11, node(0))), 0, "for a reason that there is not"),
        ((*ORDERED, QueryFailed(AT, QUERY, 1, SPARE)), 0, "which took no part"),
        ((*ORDERED, SETTLED), 0, "was settled out of turn"),
        ((*ENDED, SETTLED), 0, "was settled out of turn"),
        ((*ORDERED, COMPLETED, replace(SETTLED, nodes=PARTICIPANTS[::-1])), 0, "that did not take part"),
        ((*ORDERED, COMPLETED, replace(SETTLED, observations=(101,) * 5)), 0, "that are no percentages"),
        ((*ENDED, replace(RATED, customer=SPARE)), 0, "who did not order it"),
        ((*ENDED, replace(RATED, nodes=(SPARE, MPCS[0]))), 0, "rated for nodes that did not take part"),
        ((*ENDED, RATED, RATED), 0, "had a node rated twice"),
        ((*ENDED, RATED), 1001, "was rated after the time for it"),
    ],
)
def test_a_broken_rule_is_named(events: Sequence[Event], seconds: int, complaint: str) -> None:
    assert complaint in complaints(events, seconds)


def test_nodes_of_one_operator_and_nodes_that_left_are_named() -> None:
    shared = [*NODES[:2], *(registered(one, Role.MPC_NODE, SPARE) for one in MPCS)]
    assert "to MPC nodes of one operator" in complaints(ORDERED, nodes=shared)
    gone = [*NODES, NodeUnregistered(AT, MPCS[2], 1)]
    assert f"to {MPCS[2]}, which was no active MPC_NODE" in complaints(ORDERED, nodes=gone)
    related = [*NODES[:5], registered(SPARE, Role.MPC_NODE, MPCS[1])]
    assert "whose operator has another of the trio" in complaints((*ORDERED, REPLACED), nodes=related)


def test_an_operator_that_rates_its_own_node_is_named() -> None:
    own = [*NODES[:2], registered(MPCS[0], Role.MPC_NODE, CUSTOMER), *NODES[3:]]
    assert f"rated by its own operator {CUSTOMER}" in complaints((*ENDED, RATED), nodes=own)
