"""Nodes composed from the registry's events: whether they wait, are suspended or have left."""

import pytest

from coordinator.models.nodes import NodeStatus
from coordinator.rebuilding.nodes import nodes_of
from soterone.chain.events import Event, LogPosition, NodeRegistered, NodeSuspended, NodeUnregistered
from soterone.domain.ids import Account, Hash32
from soterone.domain.roles import Role

NODE, HASH = Account("0x" + "1" * 40), Hash32("0x" + "2" * 64)
AT = LogPosition(1, 1, 0, HASH, HASH)
FIRST, SECOND = (
    NodeRegistered(AT, NODE, NODE, incarnation, Role.MPC_NODE, 256, HASH, HASH) for incarnation in (1, 2)
)
SUSPENDED, READMITTED, LEFT = (
    NodeSuspended(AT, NODE, True),
    NodeSuspended(AT, NODE, False),
    NodeUnregistered(AT, NODE, 1),
)


@pytest.mark.parametrize(
    ("story", "status"),
    [
        ([FIRST], NodeStatus.PENDING),
        ([FIRST, SUSPENDED], NodeStatus.SUSPENDED),
        ([FIRST, SUSPENDED, READMITTED], NodeStatus.PENDING),
        ([FIRST, LEFT], NodeStatus.GONE),
        ([FIRST, LEFT, SUSPENDED], NodeStatus.GONE),
        ([FIRST, SUSPENDED, LEFT, READMITTED], NodeStatus.GONE),
        ([FIRST, SUSPENDED, LEFT, READMITTED, SECOND], NodeStatus.PENDING),
    ],
)
def test_who_left_stays_gone_until_it_registers_again(story: list[Event], status: NodeStatus) -> None:
    assert nodes_of([(event, 1) for event in story])[NODE].status == status
