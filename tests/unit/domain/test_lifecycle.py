"""What follows from what is known of a query, one decision at a time."""

from dataclasses import replace

import pytest

from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account
from soterone.domain.lifecycle import (
    EXPIRY_MARGIN_SECONDS,
    SUSPICION_SECONDS,
    THIRD_SHARE_SECONDS,
    AnnounceCleanup,
    AnnounceCompletion,
    AnnounceFailure,
    Announcement,
    Conduct,
    DrawSuccessor,
    Expire,
    FreeReservations,
    Lapse,
    QueryFacts,
    RecordLoss,
    RepeatReplacement,
    ReportedFailure,
    Settle,
    Stage,
    WithdrawLoss,
    decide,
    next_due,
    observations,
)
from soterone.domain.recovery import Complaint, Loss, OpenReplacement

OWNERS = (Account("0x" + "a" * 40), Account("0x" + "b" * 40))
MPCS = tuple(Account("0x" + str(digit) * 40) for digit in (1, 2, 3))


def running(**changes: object) -> QueryFacts:
    facts = QueryFacts(
        Stage.RUNNING, 0, 100.0, 3600, dispatched_at=10.0, announced=frozenset({Announcement.DISPATCH})
    )
    return replace(facts, **changes)


def test_an_unsigned_proposal_lapses_exactly_at_its_end() -> None:
    facts = QueryFacts(Stage.RESERVED, 0, 100.0, 3600, reservation_held=True)
    assert decide(facts, 99.9) == ()
    assert isinstance(decide(facts, 100.0)[0], Lapse)


def test_a_signed_order_never_lapses_by_time() -> None:
    facts = QueryFacts(Stage.RESERVED, 0, 100.0, 3600, announced=frozenset({Announcement.DISPATCH}))
    assert decide(facts, 1e9) == ()


def test_an_order_that_the_chain_refuses_lapses_with_its_words() -> None:
    facts = QueryFacts(
        Stage.RESERVED,
        0,
        100.0,
        3600,
        announced=frozenset({Announcement.DISPATCH}),
        dispatch_refused="deadline passed",
    )
    (action,) = decide(facts, 50.0)
    assert isinstance(action, Lapse)
    assert "deadline passed" in action.sentence


def test_the_third_share_and_the_constants_have_thirty_seconds() -> None:
    two = running(stage=Stage.DELIVERING, shares=frozenset({0, 2}), second_share_at=50.0)
    assert decide(two, 50.0 + THIRD_SHARE_SECONDS - 0.1) == ()
    assert decide(two, 50.0 + THIRD_SHARE_SECONDS) == (AnnounceCompletion(),)
    three = replace(two, shares=frozenset({0, 1, 2}))
    assert decide(three, 50.0) == (AnnounceCompletion(),)
    assert decide(replace(three, constants_missing=1), 50.0) == ()
    assert next_due(two) == 50.0 + THIRD_SHARE_SECONDS


def test_an_owner_lost_in_training_fails_the_query() -> None:
    lost = running(lost_owners=OWNERS[:1])
    (failure,) = decide(lost, 20.0)
    assert failure == AnnounceFailure(FailureReason.OWNER_LOST, OWNERS[0], FailureReason.OWNER_LOST.sentence)
    assert decide(replace(lost, shares=frozenset({1})), 20.0) == (failure,)


def test_two_shares_outweigh_every_complaint() -> None:
    facts = running(
        stage=Stage.DELIVERING,
        shares=frozenset({0, 1, 2}),
        second_share_at=20.0,
        silent_mpcs=MPCS[:1],
        result_assured=True,
        failure=ReportedFailure(MPCS[0], FailureReason.ENGINE_ERROR, "it broke"),
    )
    assert decide(facts, 1e9) == (AnnounceCompletion(),)


def test_a_report_is_passed_on_in_its_own_words() -> None:
    report = ReportedFailure(OWNERS[1], FailureReason.BAD_DATA, "column 'age' has text in it")
    assert decide(running(failure=report), 20.0) == (
        AnnounceFailure(FailureReason.BAD_DATA, OWNERS[1], "column 'age' has text in it"),
    )


def test_time_out_comes_at_its_second() -> None:
    assert decide(running(), 10.0 + 3599.9) == ()
    (failure,) = decide(running(), 10.0 + 3600)
    assert isinstance(failure, AnnounceFailure)
    assert failure.reason is FailureReason.TIMED_OUT


def test_the_end_is_cleaned_up_settled_and_paid_back_once() -> None:
    ended = running(stage=Stage.COMPLETED, ended_on_chain=True, final=True, reservation_held=True)
    assert decide(ended, 0.0) == (AnnounceCleanup(), Settle(), FreeReservations())
    done = replace(
        ended, announced=frozenset({Announcement.CLEANUP, Announcement.SETTLE}), reservation_held=False
    )
    assert decide(done, 1e9) == ()
    assert Settle() not in decide(replace(ended, final=False), 0.0)


@pytest.mark.parametrize(
    ("conduct", "expected"),
    [
        (Conduct(OWNERS, MPCS, delivered=frozenset(MPCS)), (100, 100, 100, 100, 100)),
        (Conduct(OWNERS, MPCS, delivered=frozenset(MPCS[:2])), (100, 100, 100, 100, 50)),
        (
            Conduct(OWNERS, MPCS, replaced=(OWNERS[0],), delivered=frozenset(MPCS)),
            (100, 100, 100, 100, 100, 0),
        ),
        (Conduct(OWNERS, MPCS, failure=FailureReason.OWNER_LOST, blamed=OWNERS[1]), (100, 0, 100, 100, 100)),
        (Conduct(OWNERS, MPCS, failure=FailureReason.BAD_DATA, blamed=OWNERS[0]), (50, 100, 100, 100, 100)),
        (Conduct(OWNERS, MPCS, failure=FailureReason.CANCELLED), (100, 100, 100, 100, 100)),
    ],
)
def test_conduct_is_observed_fairly(conduct: Conduct, expected: tuple[int, ...]) -> None:
    assert observations(conduct) == expected


def test_a_failed_engine_beside_a_lost_node_waits_for_its_loss_and_not_for_ever() -> None:
    report = ReportedFailure(None, FailureReason.ENGINE_ERROR, "a peer fell silent", at=50.0)
    facts = running(failure=report, silent_mpcs=MPCS[:1])
    assert decide(facts, 50.0 + SUSPICION_SECONDS - 0.1) == ()
    (failure,) = decide(facts, 50.0 + SUSPICION_SECONDS)
    assert isinstance(failure, AnnounceFailure)
    assert decide(replace(facts, silent_mpcs=()), 50.0) == (failure,)


def test_a_failed_engine_never_overtakes_a_replacement_under_way() -> None:
    report = ReportedFailure(None, FailureReason.ENGINE_ERROR, "they did not link", at=50.0)
    under_way = OpenReplacement(Loss(MPCS[0], blamed=False))
    facts = running(failure=report, replacement=under_way, replacements_left=1)
    assert decide(facts, 50.0 + 2 * SUSPICION_SECONDS) == ()


def test_whoever_was_away_waits_for_what_is_late_and_closes_what_is_over() -> None:
    late = 10.0 + 3600
    patient = running(patient_until=late + 60, closing_seconds=600.0)
    assert decide(patient, late + 59.9) == ()
    (failure,) = decide(patient, late + 60)
    assert isinstance(failure, AnnounceFailure)
    over = late + 600.0 + EXPIRY_MARGIN_SECONDS
    assert decide(patient, over) == (Expire(),)
    assert decide(replace(patient, announced=frozenset({Announcement.EXPIRE})), over) == ()


def test_a_cut_link_without_a_successor_blames_nobody() -> None:
    facts = running(replacement=OpenReplacement(Loss(MPCS[0], blamed=False), True, vacant_since=20.0))
    assert decide(facts, 79.9) == (DrawSuccessor(),)
    (failure,) = decide(facts, 80.0)
    assert isinstance(failure, AnnounceFailure)
    assert (failure.reason, failure.node) == (FailureReason.NO_SUCCESSOR, None)
    assert MPCS[0] in failure.sentence


def test_a_node_that_was_replaced_without_blame_pays_nothing() -> None:
    conduct = Conduct(
        OWNERS,
        MPCS,
        replaced=(OWNERS[0], OWNERS[1]),
        unblamed=frozenset(OWNERS[1:]),
        delivered=frozenset(MPCS),
    )
    assert observations(conduct) == (100, 100, 100, 100, 100, 0, 100)


def test_nobody_is_replaced_whose_share_is_not_needed() -> None:
    said = (Complaint(OWNERS[0], MPCS[0], True, 20.0), Complaint(MPCS[1], MPCS[0], True, 20.0))
    facts = running(complaints=said, replacements_left=1)
    assert decide(facts, 30.0) == (RecordLoss(Loss(MPCS[0], blamed=False)),)
    assert decide(replace(facts, result_assured=True), 30.0) == ()
    recorded = replace(facts, replacement=OpenReplacement(Loss(MPCS[0], blamed=False), seeded=True))
    assert decide(recorded, 30.0) == (DrawSuccessor(),)
    assert decide(replace(recorded, result_assured=True), 30.0) == (WithdrawLoss(),)


def test_while_a_replacement_is_on_its_way_nothing_of_its_generation_is_announced() -> None:
    report = ReportedFailure(None, FailureReason.BAD_DATA, "a table does not fit", at=50.0)
    facts = running(failure=report, shares=frozenset({0, 1}), second_share_at=0.0, lost_owners=OWNERS[:1])
    assert decide(facts, 1e9) != ()
    announced = facts.announced | {Announcement.REPLACE}
    assert decide(replace(facts, announced=announced), 1e9) == ()


def test_without_replacements_left_a_loss_ends_the_query_at_once() -> None:
    facts = running(silent_mpcs=MPCS[:1], complaints=(Complaint(OWNERS[0], MPCS[0], False, 20.0),))
    (failure,) = decide(facts, 20.0)
    assert isinstance(failure, AnnounceFailure)
    assert (failure.reason, failure.node) == (FailureReason.NO_SUCCESSOR, MPCS[0])
    assert decide(replace(facts, replacements_left=1), 20.0) == (RecordLoss(Loss(MPCS[0], blamed=True)),)


def test_a_draw_waits_for_the_block_of_its_seed() -> None:
    recorded = running(replacement=OpenReplacement(Loss(MPCS[0], blamed=True)), silent_mpcs=MPCS[:1])
    assert decide(recorded, 20.0) == ()
    seeded = replace(recorded, replacement=OpenReplacement(Loss(MPCS[0], blamed=True), seeded=True))
    assert decide(seeded, 20.0) == (DrawSuccessor(),)


def test_what_a_reorganisation_took_away_comes_again_before_anything_else() -> None:
    facts = running(behind_chain=True, shares=frozenset({0, 1}), second_share_at=0.0, lost_owners=OWNERS[:1])
    assert decide(facts, 100.0) == ()
    assert decide(replace(facts, replacement_refused=True), 100.0) == (RepeatReplacement(),)
    (failure,) = decide(facts, 10.0 + 3600)
    assert isinstance(failure, AnnounceFailure)
    assert failure.reason is FailureReason.TIMED_OUT
