"""The registry replayed from events: what a suspension does to a node that leaves and returns."""

from collections.abc import Iterable

from soterone.audit.registry import RegistryReplay
from soterone.chain.events import Event, LogPosition, NodeRegistered, NodeSuspended, NodeUnregistered
from soterone.chain.records import NodeStatus
from soterone.domain.ids import Account, Hash32
from soterone.domain.roles import Role

NODE = Account("0x" + "1" * 40)
HASH = Hash32("0x" + "2" * 64)
AT = LogPosition(1, 1, 0, HASH, HASH)


def registered(incarnation: int) -> Event:
    return NodeRegistered(AT, NODE, NODE, incarnation, Role.MPC_NODE, 256, HASH, HASH)


def suspended(yes: bool) -> Event:
    return NodeSuspended(AT, NODE, yes)


def gone(incarnation: int) -> Event:
    return NodeUnregistered(AT, NODE, incarnation)


def replayed(events: Iterable[Event]) -> RegistryReplay:
    replay = RegistryReplay()
    for event in events:
        replay.apply(event)
    return replay


def test_a_suspension_outlives_leaving_and_ends_with_readmission() -> None:
    story = [registered(1), suspended(True), gone(1)]
    assert NODE in replayed(story).suspended
    readmitted = replayed([*story, suspended(False), registered(2)])
    assert readmitted.nodes[NODE].status is NodeStatus.ACTIVE
    assert not readmitted.findings
    assert replayed([*story, registered(2)]).findings


def test_who_left_keeps_neither_role_nor_version() -> None:
    left = replayed([registered(1), gone(1)]).nodes[NODE]
    assert (left.status, left.roles, left.version) == (NodeStatus.GONE, Role(0), 0)


def test_a_suspension_that_changes_nothing_is_named() -> None:
    assert replayed([suspended(True)]).findings
    assert replayed([registered(1), suspended(False)]).findings
