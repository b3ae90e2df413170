"""What no honest quorum would have shown: each rule of seats, panels, votes, claims and appeals is broken once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from soterone.audit.claims import ClaimReplay
from soterone.audit.panels import PanelReplay
from soterone.audit.penalties import Penalty
from soterone.audit.quorum import QuorumReplay
from soterone.audit.registry import RegistryReplay
from soterone.chain.events import (
    ClaimAppealed,
    ClaimFinal,
    ClaimReversed,
    ClaimUpheld,
    DetectorEnlisted,
    DetectorRemoved,
    EpochOpened,
    Event,
    LogPosition,
    NodePenalised,
    NodeReadmitted,
    NodeRegistered,
    NodeUnregistered,
    PanelSeeded,
    PenaltyReversed,
    TermsChanged,
    VotesCommitted,
)
from soterone.domain.detection import (
    NO_HASH,
    Accusation,
    Claim,
    Kind,
    commitment_to,
    leaves_of,
    reversal_subject,
)
from soterone.domain.ids import Account, hash32
from soterone.domain.panels import Bench, Seat, Terms
from soterone.domain.reputation import Severity
from soterone.domain.roles import Role

EPOCH_SECONDS, SEED, ADDED, LEDGER_EPOCH = 100, 0xABCDEF, 32 * 10**9, 3
JUDGED, DECIDED, HEARD = 7, 8, 9
HASH = hash32(b"\x02" * 32)


def node(number: int) -> Account:
    return Account(f"0x{number:040x}")


ACCUSED, OPERATOR, STRANGER, ROSTER = node(0x100), node(0x200), node(0x300), node(0x400)
DETECTORS = tuple(node(number) for number in range(1, 9))
TERMS = Terms(panel_size=3, threshold=2, appeal_epochs=2, suspension_epochs=6, severities=0x03333330)
ACCUSATION = Accusation(ACCUSED, OPERATOR, JUDGED, Kind.DATASET, Severity.CRITICAL)
BENCH = Bench(TERMS, tuple(Seat(one, one) for one in DETECTORS), SEED)
PANEL = BENCH.panel_on(ACCUSED, OPERATOR)
ALL_VOTE = tuple(bytes([place]) * 32 for place in range(1, 4))


def at(block: int, index: int = 0) -> LogPosition:
    """A place in the chain; each block has one transaction."""
    return LogPosition(1, block, index, HASH, hash32(block.to_bytes(32)))


def registered(one: Account, role: Role, operator: Account, index: int) -> NodeRegistered:
    return NodeRegistered(at(1, index), one, operator, 1, int(role), 256, HASH, HASH)


def votes(
    subject: bytes, epoch: int, panel: Sequence[Account], block: int, cast: Sequence[bytes] = ALL_VOTE
) -> VotesCommitted:
    leaves = leaves_of(panel, cast)
    commitment = commitment_to(subject, leaves)
    return VotesCommitted(at(block), commitment, hash32(subject), epoch, tuple(map(hash32, leaves)))


COMMITTED = votes(ACCUSATION.subject, JUDGED, PANEL, 7)
SECOND = votes(ACCUSATION.subject, JUDGED, PANEL, 7, (*ALL_VOTE[:2], NO_HASH))
CLAIM_ID = COMMITTED.commitment
CLAIM = Claim(ACCUSATION, 0b011, ADDED, LEDGER_EPOCH)
APPEAL_PANEL = BENCH.panel_on_appeal(CLAIM_ID, ACCUSED, OPERATOR, PANEL)
REVERSAL = votes(reversal_subject(CLAIM_ID, HEARD), HEARD, APPEAL_PANEL, 14)
OTHER_REVERSAL = votes(ACCUSATION.subject, HEARD, APPEAL_PANEL, 14)
LONELY_REVERSAL = votes(
    reversal_subject(CLAIM_ID, HEARD), HEARD, APPEAL_PANEL, 14, (ALL_VOTE[0], NO_HASH, NO_HASH)
)
NODES = (
    *(registered(one, Role.DETECTOR, one, place) for place, one in enumerate(DETECTORS)),
    registered(ACCUSED, Role.MPC_NODE, OPERATOR, 20),
    registered(STRANGER, Role.MPC_NODE, STRANGER, 21),
)
STEPS: dict[str, tuple[int, Event]] = {
    "terms": (6, TermsChanged(at(2), TERMS)),
    **{
        f"seat {place}": (6, DetectorEnlisted(at(2, place), one, one))
        for place, one in enumerate(DETECTORS, start=1)
    },
    "opened": (JUDGED, EpochOpened(at(3), JUDGED, ROSTER, 5)),
    "seeded": (JUDGED, PanelSeeded(at(6), JUDGED, SEED)),
    "committed": (JUDGED, COMMITTED),
    "penalised": (DECIDED, NodePenalised(at(8), ACCUSED, int(Severity.CRITICAL))),
    "upheld": (DECIDED, ClaimUpheld(at(8, 1), CLAIM_ID, ACCUSED, CLAIM)),
    "appealed": (DECIDED, ClaimAppealed(at(9), CLAIM_ID, ACCUSED, HASH, HEARD)),
    "opened again": (HEARD, EpochOpened(at(10), HEARD, ROSTER, 12)),
    "seeded again": (HEARD, PanelSeeded(at(13), HEARD, SEED)),
    "heard": (HEARD, REVERSAL),
    "reversed": (HEARD + 1, ClaimReversed(at(15), CLAIM_ID, ACCUSED, REVERSAL.commitment)),
    "taken back": (HEARD + 1, PenaltyReversed(at(15, 1), ACCUSED, ADDED, LEDGER_EPOCH)),
    **{
        f"accuser {place}": (HEARD + 1, NodePenalised(at(15, place), one, int(Severity.LIGHT)))
        for place, one in enumerate(CLAIM.signers_among(PANEL), start=2)
    },
    "readmitted": (HEARD + 1, NodeReadmitted(at(15, 9), ACCUSED)),
}


def complaints(steps: Sequence[tuple[int, Event]]) -> str:
    registry = RegistryReplay()
    panels = PanelReplay(registry)
    replay = QuorumReplay(panels, ClaimReplay(panels), EPOCH_SECONDS)
    for epoch, event in ((0, one) for one in NODES):
        registry.apply(event)
        replay.apply(event, epoch)
    for epoch, event in steps:
        registry.apply(event)
        penalty = None
        if isinstance(event, NodePenalised):
            added = ADDED if event.node == ACCUSED else 2 * 10**9
            penalty = Penalty(event.node, Severity(event.severity), added, LEDGER_EPOCH)
        replay.apply(event, epoch * EPOCH_SECONDS, penalty)
    replay.claims.finish()
    return "\n".join(one.sentence for one in replay.findings)


def played(until: str, *, epoch: int | None = None, **changes: Any) -> list[tuple[int, Event]]:
    """The steps up to one of them, which comes in another epoch or says something else."""
    names = list(STEPS)
    steps = [STEPS[name] for name in names[: names.index(until) + 1]]
    when, event = steps[-1]
    steps[-1] = (when if epoch is None else epoch, replace(event, **changes))
    return steps


def instead(steps: list[tuple[int, Event]], name: str, event: Event) -> list[tuple[int, Event]]:
    """Put another event in a step's place."""
    return [(epoch, event if one is STEPS[name][1] else one) for epoch, one in steps]


def before(steps: list[tuple[int, Event]], name: str, event: Event) -> list[tuple[int, Event]]:
    """Let an event come before a step, in the epoch of the step before."""
    place = list(STEPS).index(name)
    return [*steps[:place], (steps[place - 1][0], event), *steps[place:]]


def accused_of(**changes: Any) -> Claim:
    return replace(CLAIM, accusation=replace(ACCUSATION, **changes))


def test_an_honest_quorum_has_nothing_to_complain_of() -> None:
    assert complaints(list(STEPS.values())) == ""


def test_a_suspension_that_nobody_appealed_ends_with_its_time() -> None:
    assert complaints([*played("upheld"), (DECIDED + 7, NodeReadmitted(at(20), ACCUSED))]) == ""


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        (played("terms", terms=replace(TERMS, threshold=1)), "took terms that it must refuse"),
        ([*played("seat 2"), (6, DetectorEnlisted(at(2, 9), DETECTORS[1], STRANGER))], "given a second seat"),
        (
            [*played("seat 2"), (6, DetectorEnlisted(at(2, 9), DETECTORS[2], DETECTORS[1]))],
            "or a second one of",
        ),
        (played("seat 3", detector=STRANGER, operator=STRANGER), "is no active detector of"),
        (played("seat 3", operator=STRANGER), f"is no active detector of {STRANGER}"),
        ([*played("seat 3"), (6, DetectorRemoved(at(2, 9), STRANGER))], "lost a seat that it did not have"),
        (played("opened", epoch=6), f"epoch {JUDGED} was opened in epoch 6, out of turn"),
        (played("opened", seed_block=6), "given the seed of another block"),
        ([*played("seat 6"), STEPS["opened"]], "was opened with 6 seats"),
        (played("seeded", position=at(5)), f"epoch {JUDGED} was seeded out of turn"),
        ([*played("seeded"), STEPS["seeded"]], f"epoch {JUDGED} was seeded out of turn"),
        (played("committed", epoch=DECIDED), f"committed to epoch {JUDGED} in epoch {DECIDED}"),
        ([*played("opened"), STEPS["committed"]], f"committed to epoch {JUDGED} in epoch {JUDGED}"),
        ([*played("committed"), STEPS["committed"]], "were committed twice"),
        (played("committed", subject=HASH), "are not those that their commitment names"),
        (played("committed", leaves=COMMITTED.leaves[:2]), "are not one a member of the panel"),
    ],
    ids=lambda one: one.replace(" ", "-") if isinstance(one, str) else "",
)
def test_a_broken_rule_of_seats_and_votes_is_named(steps: list[tuple[int, Event]], complaint: str) -> None:
    assert complaint in complaints(steps)


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        (played("upheld", claim_id=HASH), "by votes that were never committed"),
        ([*played("upheld"), STEPS["penalised"], STEPS["upheld"]], "or that decided before"),
        (played("upheld", node=STRANGER), "was upheld by votes on something else"),
        (played("upheld", claim=accused_of(node=STRANGER)), "was upheld by votes on something else"),
        (played("upheld", epoch=DECIDED + 1), f"in epoch {DECIDED + 1} by votes of epoch {JUDGED}"),
        (
            instead(played("upheld"), "terms", TermsChanged(at(2), replace(TERMS, severities=0x03233330))),
            "has severity 3, which its kind must not have",
        ),
        (
            [
                *played("upheld"),
                (JUDGED, SECOND),
                (DECIDED, replace(STEPS["penalised"][1], position=at(9))),
                (DECIDED, ClaimUpheld(at(9, 1), SECOND.commitment, ACCUSED, CLAIM)),
            ],
            "is the second of its kind and epoch",
        ),
        (
            [
                *instead(played("penalised"), "committed", SECOND),
                (DECIDED, ClaimUpheld(at(8, 1), SECOND.commitment, ACCUSED, replace(CLAIM, signers=0b101))),
            ],
            f"counts a vote of {PANEL[2]}, which committed to none",
        ),
        (
            before(played("upheld"), "committed", NodeUnregistered(at(6, 1), PANEL[0], 1)),
            f"counts a vote of {PANEL[0]}, which was no active detector",
        ),
        (
            before(played("upheld"), "penalised", DetectorRemoved(at(7, 1), PANEL[0])),
            f"counts a vote of {PANEL[0]}, which has lost its seat",
        ),
        (played("upheld", claim=accused_of(operator=STRANGER)), "accuses another operator"),
        (played("upheld", claim=replace(CLAIM, signers=0b1011)), "was signed from outside the panel"),
        (played("upheld", claim=replace(CLAIM, signers=0b100)), "was upheld by 1 votes, 2 are needed"),
        (played("upheld", claim=replace(CLAIM, added=1)), "says that it added 1, the ledger does not"),
        ([*played("committed"), STEPS["penalised"]], "was penalised by severity 3 without an upheld claim"),
        (played("appealed", epoch=DECIDED + 1), f"was appealed in epoch {DECIDED + 1}, out of time"),
        (
            [*played("upheld"), (DECIDED + 3, ClaimAppealed(at(9), CLAIM_ID, ACCUSED, HASH, DECIDED + 4))],
            "was appealed in epoch 11, out of time",
        ),
        (played("appealed", node=STRANGER), "was appealed out of turn"),
        ([*played("appealed"), STEPS["appealed"]], "was appealed out of turn"),
        ([*played("upheld"), STEPS["reversed"]], "was reversed out of turn"),
        (played("reversed", commitment=HASH), "stands on votes that were never committed"),
        (played("reversed", commitment=CLAIM_ID), "or that decided before"),
        (
            instead(played("reversed", commitment=OTHER_REVERSAL.commitment), "heard", OTHER_REVERSAL),
            "stands on votes on something else",
        ),
        (
            instead(played("reversed", commitment=LONELY_REVERSAL.commitment), "heard", LONELY_REVERSAL),
            "stands on 1 votes of a panel of 3",
        ),
        (played("reversed", epoch=HEARD + 2), f"came in epoch {HEARD + 2} by votes of epoch {HEARD}"),
        (played("reversed"), f"what a reversed claim added to {ACCUSED} was not taken back"),
        (played("taken back"), "signed a claim that was reversed and was not penalised"),
        (played("taken back", added=1), "was taken back without a reversed claim"),
        (
            [*played("upheld"), (DECIDED + 6, NodeReadmitted(at(20), ACCUSED))],
            "was readmitted in epoch 14, too early",
        ),
        ([*played("committed"), (DECIDED, NodeReadmitted(at(20), ACCUSED))], "and no claim suspended it"),
        (played("readmitted", position=at(16)), "and no claim suspended it"),
        (played("readmitted", node=STRANGER), f"{STRANGER} was readmitted and no claim suspended it"),
        ([*list(STEPS.values()), STEPS["readmitted"]], "and no claim suspended it"),
        (
            [*played("upheld"), *[(DECIDED + 7, NodeReadmitted(at(20), ACCUSED))] * 2],
            f"{ACCUSED} was readmitted and no claim suspended it",
        ),
        ([*played("upheld"), (DECIDED + 2, ClaimFinal(at(20), CLAIM_ID, ACCUSED))], "in epoch 10, too early"),
        ([*played("appealed"), (HEARD + 1, ClaimFinal(at(20), CLAIM_ID, ACCUSED))], "in epoch 10, too early"),
        ([*list(STEPS.values()), (30, ClaimFinal(at(20), CLAIM_ID, ACCUSED))], "became final out of turn"),
    ],
)
def test_a_broken_rule_of_claims_and_appeals_is_named(steps: list[tuple[int, Event]], complaint: str) -> None:
    assert complaint in complaints(steps)
