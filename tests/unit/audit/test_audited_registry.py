"""What no honest registry would have shown, each rule broken once."""

from collections.abc import Sequence

import pytest

from soterone.audit.registry import RegistryReplay, unfounded_suspensions
from soterone.chain.events import (
    Event,
    LogPosition,
    NodePenalised,
    NodeReadmitted,
    NodeRegistered,
    NodeSuspended,
    NodeUnregistered,
    NodeUpdated,
)
from soterone.domain.ids import Account, Hash32

HASH, NODE = Hash32("0x" + "2" * 64), Account(f"0x{7:040x}")
OTHER = Account(f"0x{8:040x}")
AT = LogPosition(1, 1, 0, HASH, HASH)
SUSPENDED, READMITTED = NodeSuspended(AT, NODE, True), NodeSuspended(AT, NODE, False)


def registered(incarnation: int = 1, operator: Account = NODE) -> NodeRegistered:
    return NodeRegistered(AT, NODE, operator, incarnation, 2, 256, HASH, HASH)


def updated(version: int) -> NodeUpdated:
    return NodeUpdated(AT, NODE, version, 2, 256, HASH, HASH)


def left(incarnation: int = 1) -> NodeUnregistered:
    return NodeUnregistered(AT, NODE, incarnation)


def complaints(events: Sequence[Event]) -> str:
    replay = RegistryReplay()
    for event in events:
        replay.apply(event)
    return "\n".join(one.sentence for one in replay.findings)


def test_an_honest_life_has_nothing_to_complain_of() -> None:
    life = (
        registered(),
        updated(2),
        updated(3),
        SUSPENDED,
        READMITTED,
        left(),
        registered(2),
        updated(2),
        left(2),
    )
    assert complaints(life) == ""
    assert complaints((registered(), SUSPENDED, left(), READMITTED, registered(2))) == ""


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ((registered(2),), "registered out of turn as incarnation 2"),
        ((registered(), registered(2)), "registered out of turn as incarnation 2"),
        ((registered(), left(), registered(1)), "registered out of turn as incarnation 1"),
        ((registered(), SUSPENDED, left(), registered(2)), "registered while it was suspended"),
        ((registered(), left(), registered(2, OTHER)), f"came back under another operator, {OTHER}"),
        ((registered(), updated(3)), "jumped to version 3 of its profile"),
        ((registered(), left(2)), "left as incarnation 2"),
        ((updated(2),), "changed without being registered"),
        ((registered(), left(), left()), "changed without being registered"),
        ((SUSPENDED,), "was suspended or readmitted out of turn"),
        ((registered(), READMITTED), "was suspended or readmitted out of turn"),
        ((registered(), SUSPENDED, SUSPENDED), "was suspended or readmitted out of turn"),
    ],
    ids=lambda one: one.replace(" ", "-") if isinstance(one, str) else "",
)
def test_a_broken_rule_is_named(events: Sequence[Event], complaint: str) -> None:
    assert complaint in complaints(events)


def unfounded(*events: Event) -> list[str]:
    return [one.sentence for one in unfounded_suspensions(events)]


def test_a_suspension_needs_its_penalty_and_its_end_the_detectors() -> None:
    assert unfounded(NodePenalised(AT, NODE, 3), SUSPENDED) == []
    assert unfounded(READMITTED, NodeReadmitted(AT, NODE)) == []
    assert unfounded(SUSPENDED) == [f"{NODE} was suspended without a claim"]
    assert unfounded(NodePenalised(AT, NODE, 2), SUSPENDED) == [f"{NODE} was suspended without a claim"]
    assert unfounded(NodePenalised(AT, OTHER, 3), SUSPENDED) == [f"{NODE} was suspended without a claim"]
    assert unfounded(READMITTED) == [f"{NODE} was readmitted past the detectors"]
