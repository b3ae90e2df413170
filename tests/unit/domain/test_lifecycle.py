"""The lifecycle as a machine that is driven by any sequence of events: its invariants hold at every step."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account
from soterone.domain.lifecycle import (
    THIRD_SHARE_SECONDS,
    AnnounceCleanup,
    AnnounceCompletion,
    AnnounceFailure,
    Announcement,
    Conduct,
    FreeReservations,
    Lapse,
    MoveTo,
    QueryFacts,
    ReportedFailure,
    Settle,
    Stage,
    decide,
    next_due,
    observations,
)

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


def test_an_owner_lost_in_training_fails_the_query_and_after_it_does_not() -> None:
    lost = running(lost_owners=OWNERS[:1])
    (failure,) = decide(lost, 20.0)
    assert failure == AnnounceFailure(FailureReason.OWNER_LOST, OWNERS[0], FailureReason.OWNER_LOST.sentence)
    assert decide(replace(lost, shares=frozenset({1})), 20.0) == ()


def test_two_shares_outweigh_every_complaint() -> None:
    facts = running(
        stage=Stage.DELIVERING,
        shares=frozenset({0, 1, 2}),
        second_share_at=20.0,
        lost_mpcs=MPCS[:1],
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


class Coordinator(RuleBasedStateMachine):
    """A coordinator that does what `decide` says, while anything happens in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.facts = QueryFacts(Stage.RESERVED, 0, 100.0, 300, reservation_held=True)
        self.ended_as: Stage | None = None
        self.announcements: list[Announcement] = []

    @rule(seconds=st.floats(0, 400))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.facts.stage is Stage.RESERVED and not self.facts.announced)
    @rule()
    def customer_signs(self) -> None:
        self.facts = replace(self.facts, announced=frozenset({Announcement.DISPATCH}))

    @precondition(
        lambda self: Announcement.DISPATCH in self.facts.announced and self.facts.dispatched_at is None
    )
    @rule()
    def order_is_mined(self) -> None:
        self.facts = replace(self.facts, dispatched_at=self.now, stage=Stage.DISPATCHED)

    @precondition(lambda self: self.facts.dispatched_at is not None)
    @rule(rank=st.integers(0, 2))
    def share_arrives(self, rank: int) -> None:
        shares = self.facts.shares | {rank}
        second = self.facts.second_share_at or (self.now if len(shares) >= 2 else None)
        self.facts = replace(self.facts, shares=shares, second_share_at=second, progressed=True)

    @precondition(lambda self: self.facts.dispatched_at is not None)
    @rule(who=st.sampled_from(OWNERS + MPCS))
    def node_is_lost(self, who: Account) -> None:
        if who in OWNERS:
            self.facts = replace(self.facts, lost_owners=(*self.facts.lost_owners, who))
        else:
            self.facts = replace(self.facts, lost_mpcs=(*self.facts.lost_mpcs, who))

    @precondition(lambda self: self.facts.dispatched_at is not None)
    @rule(reason=st.sampled_from([FailureReason.ENGINE_ERROR, FailureReason.BAD_DATA]))
    def node_reports(self, reason: FailureReason) -> None:
        self.facts = replace(self.facts, failure=ReportedFailure(OWNERS[0], reason, "it broke"))

    @rule()
    def coordinator_acts(self) -> None:
        for action in decide(self.facts, self.now):
            match action:
                case Lapse():
                    self._end(Stage.FAILED)
                case MoveTo(stage):
                    self.facts = replace(self.facts, stage=stage)
                case AnnounceCompletion():
                    assert len(self.facts.shares) >= 2
                    self._announce(Announcement.COMPLETE)
                case AnnounceFailure():
                    assert len(self.facts.shares) < 2
                    self._announce(Announcement.FAIL)
                case AnnounceCleanup():
                    self._announce(Announcement.CLEANUP)
                case Settle():
                    self._announce(Announcement.SETTLE)
                case FreeReservations():
                    self.facts = replace(self.facts, reservation_held=False)

    @precondition(lambda self: self.facts.announced & {Announcement.COMPLETE, Announcement.FAIL})
    @rule()
    def ending_is_mined(self) -> None:
        if self.ended_as is None:
            completed = Announcement.COMPLETE in self.facts.announced
            self._end(Stage.COMPLETED if completed else Stage.FAILED)
            self.facts = replace(self.facts, ended_on_chain=True, final=True)

    def _announce(self, announcement: Announcement) -> None:
        self.announcements.append(announcement)
        self.facts = replace(self.facts, announced=self.facts.announced | {announcement})

    def _end(self, stage: Stage) -> None:
        assert self.ended_as is None, "a terminal stage was left"
        self.ended_as = stage
        self.facts = replace(self.facts, stage=stage)

    @invariant()
    def nothing_is_announced_twice(self) -> None:
        assert len(self.announcements) == len(set(self.announcements))

    @invariant()
    def only_one_ending_is_announced(self) -> None:
        assert len({Announcement.COMPLETE, Announcement.FAIL} & set(self.announcements)) <= 1

    def teardown(self) -> None:
        """Left alone, every query that reached the chain ends, is cleaned up, settled and frees its nodes."""
        for _ in range(6):
            self.now += 1_000
            self.coordinator_acts()
            if self.facts.announced & {Announcement.COMPLETE, Announcement.FAIL}:
                self.ending_is_mined()
        if self.facts.dispatched_at is not None:
            assert self.ended_as in (Stage.COMPLETED, Stage.FAILED)
            assert {Announcement.CLEANUP, Announcement.SETTLE} <= set(self.announcements)
        if Announcement.DISPATCH not in self.facts.announced:
            assert self.ended_as is Stage.FAILED
        if self.ended_as is not None:
            assert not self.facts.reservation_held


Coordinator.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_any_sequence_of_events = Coordinator.TestCase
