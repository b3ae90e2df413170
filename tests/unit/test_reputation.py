"""The reputation arithmetic: its laws for every record, and the shape that the design's figures promise."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from soterone.domain import reputation as rep
from soterone.domain.ids import Account, QueryId
from soterone.domain.reputation import ONE, HalfLife, Record, Severity, Standing
from soterone.domain.reputation_book import (
    NO_QUERY,
    CredibilityUpdate,
    ReputationBook,
    ReputationUpdate,
    UnknownPenaltyError,
    UnsettledFeedbackError,
)

BORN = 20_000
evidence = st.integers(0, rep.EVIDENCE_CAP)
percent = st.integers(0, 100)
ages = st.integers(0, 5_000)


@st.composite
def records(draw: st.DrawFn) -> Record:
    """A record that the ledger can hold: grown from birth by observations, ratings and penalties."""
    record, epoch = Record(), BORN
    for _ in range(draw(st.integers(0, 12))):
        epoch += draw(st.integers(0, 40))
        kind = draw(st.integers(0, 2))
        if kind == 0:
            record = rep.apply_observation(record, epoch, draw(percent))
        elif kind == 1:
            record = rep.apply_feedback(record, epoch, draw(percent), draw(st.integers(0, ONE)))
        else:
            record = rep.apply_penalty(record, epoch, draw(st.sampled_from(Severity)))
    return record


@given(evidence, ages, ages, st.sampled_from(HalfLife))
def test_decay_composes(value: int, first: int, second: int, half_life: HalfLife) -> None:
    twice = rep.decay(rep.decay(value, first, half_life), second, half_life)
    assert abs(twice - rep.decay(value, first + second, half_life)) <= 2


@given(evidence, ages, st.sampled_from(HalfLife))
def test_decay_is_the_power_it_claims(value: int, epochs: int, half_life: HalfLife) -> None:
    assert rep.decay(value, epochs, half_life) == pytest.approx(value * 2 ** (-epochs / half_life), abs=2)


@pytest.mark.parametrize("half_life", HalfLife)
def test_decay_powers_are_the_rounded_powers_of_two(half_life: HalfLife) -> None:
    for bit, power in enumerate(rep.DECAY_POWERS[half_life]):
        assert power == pytest.approx(2 ** (-(2**bit) / half_life) * rep.DECAY_ONE, rel=1e-12, abs=1)


@given(records(), ages)
def test_record_stays_in_bounds(record: Record, later: int) -> None:
    for one in (record, rep.advance(record, BORN + 480 + later)):
        assert 0 <= one.score <= ONE
        assert 0 <= one.good <= rep.EVIDENCE_CAP
        assert 0 <= one.bad <= rep.EVIDENCE_CAP
        assert one.good_this_epoch <= rep.EPOCH_CAP
        assert one.bad_this_epoch <= rep.EPOCH_CAP
        assert 0 <= rep.lower_bound(one, one.last_epoch) <= one.score


@given(records(), st.integers(0, 30), percent, percent)
def test_a_better_observation_never_scores_less(record: Record, later: int, one: int, other: int) -> None:
    epoch = record.last_epoch + later if record.last_epoch else BORN
    worse, better = sorted((one, other))
    assert (
        rep.apply_observation(record, epoch, worse).score
        <= rep.apply_observation(record, epoch, better).score
    )


@given(records(), percent, percent, st.integers(0, ONE))
def test_a_better_rating_never_scores_less(record: Record, one: int, other: int, credibility: int) -> None:
    epoch = record.last_epoch or BORN
    worse, better = sorted((one, other))
    low = rep.apply_feedback(record, epoch, worse, credibility).score
    assert low <= rep.apply_feedback(record, epoch, better, credibility).score


@given(records(), st.sampled_from(Severity))
def test_penalties_never_raise_and_pass_the_epoch_cap(record: Record, severity: Severity) -> None:
    epoch = record.last_epoch or BORN
    penalised = rep.apply_penalty(record, epoch, severity)
    assert penalised.score <= record.score
    assert penalised.bad_this_epoch == record.bad_this_epoch
    assert penalised.bad == min(rep.EVIDENCE_CAP, record.bad + rep.PENALTIES[severity])


@given(records(), st.sampled_from(Severity))
@example(Record(last_epoch=BORN, born_epoch=BORN, score=rep.score(Record(), BORN)), Severity.LIGHT)
def test_a_reversal_in_the_same_epoch_undoes_a_penalty_to_the_last_bit(
    record: Record, severity: Severity
) -> None:
    """But for a record that was only renewed in it, which is a newcomer's again."""
    epoch = record.last_epoch or BORN
    penalised = rep.apply_penalty(record, epoch, severity)
    evidence = (record.good, record.bad, record.good_this_epoch, record.bad_this_epoch)
    only_renewed = record.born_epoch == epoch and not any(evidence)
    expected = Record() if only_renewed else record
    assert rep.take_back(penalised, epoch, penalised.bad - record.bad, epoch) == expected


@given(records(), st.sampled_from(Severity), st.integers(1, 5_000))
def test_a_late_reversal_leaves_what_the_penalty_never_touched(
    record: Record, severity: Severity, later: int
) -> None:
    epoch = record.last_epoch or BORN
    penalised = rep.apply_penalty(record, epoch, severity)
    reversed_ = rep.take_back(penalised, epoch + later, penalised.bad - record.bad, epoch)
    never = rep.advance(record, epoch + later)
    assert abs(reversed_.bad - never.bad) <= 3
    assert (reversed_.good, reversed_.incarnation) == (never.good, never.incarnation)
    assert abs(reversed_.score - never.score) <= 3


@given(records(), st.sampled_from(Severity), ages)
def test_a_reversal_never_lowers_a_score(record: Record, severity: Severity, later: int) -> None:
    epoch = record.last_epoch or BORN
    penalised = rep.apply_penalty(record, epoch, severity)
    corrected = rep.take_back(penalised, epoch + later, penalised.bad - record.bad, epoch)
    assert corrected.score >= rep.score(penalised, epoch + later)


@given(records(), st.integers(0, 300), st.integers(2, 600))
def test_a_new_incarnation_inherits_no_good_and_loses_no_bad(record: Record, later: int, number: int) -> None:
    epoch = record.last_epoch + later
    renewed = rep.renew(record, epoch, number)
    if record.last_epoch == 0:
        assert renewed == record
        return
    before = rep.advance(record, epoch)
    assert renewed.good == 0
    assert renewed.bad == before.bad
    assert renewed.score <= min(before.score, rep.PRIOR_SCORE)
    assert (renewed.born_epoch, renewed.incarnation) == (epoch, number % 256)


@given(records(), st.integers(1, 400))
def test_updating_often_gains_nothing(record: Record, days: int) -> None:
    often = record
    for day in range(1, days + 1):
        often = rep.advance(often, record.last_epoch + day)
    once = rep.advance(record, record.last_epoch + days)
    assert abs(often.good - once.good) <= days
    assert abs(often.bad - once.bad) <= days
    assert abs(often.score - once.score) <= days


@given(st.integers(0, ONE), st.lists(st.tuples(percent, percent), min_size=1, max_size=16))
def test_credibility_stays_in_bounds_and_moves_toward_agreement(
    credibility: int, pairs: list[tuple[int, int]]
) -> None:
    ratings, observations = [one for one, _ in pairs], [other for _, other in pairs]
    updated = rep.update_credibility(credibility, ratings, observations)
    agreement = sum(100 - abs(f - m) for f, m in pairs) * rep.PERCENT // len(pairs)
    assert min(credibility, agreement) - 1 <= updated <= max(credibility, agreement)


def test_no_more_than_four_of_each_kind_an_epoch() -> None:
    record = Record()
    for observation in (100,) * 6 + (0,) * 3:
        record = rep.apply_observation(record, BORN, observation)
    assert (record.good, record.bad) == (4 * ONE, 4 * ONE)
    assert rep.apply_observation(record, BORN + 1, 100).good_this_epoch == ONE


def test_evidence_saturates_at_the_cap() -> None:
    record = Record(good=rep.EVIDENCE_CAP - 1, last_epoch=BORN, born_epoch=BORN - 60)
    assert rep.apply_observation(record, BORN, 100).good == rep.EVIDENCE_CAP


def test_newcomer_scores_the_prior_under_the_tenure_cap() -> None:
    assert rep.score(Record(), BORN) == rep.PRIOR_SCORE
    assert rep.lower_bound(Record(), BORN) == pytest.approx(0.147 * ONE, abs=0.001 * ONE)
    assert rep.apply_observation(Record(), BORN, 100).score == rep.PRIOR_SCORE
    assert rep.tenure_cap(30) == 650_000_000
    assert rep.tenure_cap(60) == rep.tenure_cap(61) == ONE


def test_lower_bound_prefers_the_better_known_of_two_equals() -> None:
    young = Record(good=12 * ONE, bad=2 * ONE, last_epoch=BORN, born_epoch=BORN - 90)
    scale = 10
    old = replace(young, good=scale * 12 * ONE, bad=scale * 2 * ONE)
    assert rep.lower_bound(young, BORN) < rep.lower_bound(old, BORN)


def test_eight_feedbacks_a_week_count() -> None:
    standing = Standing()
    for _ in range(8):
        assert rep.feedback_counts(standing, 7)
        standing = rep.count_feedback(standing, 7, [100], [100])
    assert not rep.feedback_counts(standing, 7)
    assert rep.feedback_counts(standing, 8)
    assert rep.count_feedback(standing, 8, [100], [100]).counted == 1


@dataclass
class Life:
    """One query a day, settled and rated the same day by one customer: 90 when it went well, 10 when not."""

    record: Record = field(default_factory=Record)
    credibility: int = rep.INITIAL_CREDIBILITY
    day: int = BORN

    def live(self, observations: Iterable[int]) -> list[float]:
        """The score after each day."""
        return [self._day(observation) / ONE for observation in observations]

    def _day(self, observation: int) -> int:
        rating = 90 if observation > 50 else 10
        self.record = rep.apply_observation(self.record, self.day, observation)
        self.record = rep.apply_feedback(self.record, self.day, rating, self.credibility)
        self.credibility = rep.update_credibility(self.credibility, [rating], [observation])
        self.day += 1
        return self.record.score


def test_honest_node_rises_as_designed() -> None:
    life = Life()
    life.live([100] * 31)
    assert rep.expectation(life.record.good, life.record.bad) / ONE == pytest.approx(0.83, abs=0.01)
    assert life.record.score == 650_000_000
    assert life.live([100] * 150)[-1] == pytest.approx(0.91, abs=0.01)


def test_nine_good_one_bad_settles_about_one_half() -> None:
    scores = Life().live(([100] * 9 + [0]) * 100)[-10:]
    assert min(scores) == pytest.approx(0.49, abs=0.02)
    assert max(scores) == pytest.approx(0.51, abs=0.02)


def test_milking_is_found_out_within_a_month() -> None:
    life = Life()
    assert life.live([100] * 60)[-1] == pytest.approx(0.88, abs=0.01)
    assert life.live([0] * 30)[-1] == pytest.approx(0.18, abs=0.01)


def test_ballot_stuffing_lifts_no_node_that_fails() -> None:
    record, credibility = Record(), rep.INITIAL_CREDIBILITY
    for day in range(180):
        record = rep.apply_observation(record, BORN + day, 0)
        record = rep.apply_feedback(record, BORN + day, 100, credibility)
        credibility = rep.update_credibility(credibility, [100], [0])
        assert day < 30 or record.score / ONE <= 0.06
    assert credibility < ONE // 1_000


@pytest.mark.parametrize("severity", Severity)
def test_newcomer_overtakes_a_penalised_veteran_only_after_weeks(severity: Severity) -> None:
    veteran, newcomer = Life(), Life(day=BORN + 180)
    veteran.live([100] * 180)
    veteran.record = rep.apply_penalty(veteran.record, veteran.day, severity)
    days = 0
    while newcomer.live([100]) <= veteran.live([100]):
        days += 1
    assert 27 <= days <= 76


NODE, OTHER, CUSTOMER = Account("0xA"), Account("0xB"), Account("0xC")
QUERY = QueryId("0x" + "11" * 32)
DAY, WEEK = 86_400, 7 * 86_400


def _book() -> ReputationBook:
    book = ReputationBook(epoch_seconds=DAY, week_seconds=WEEK)
    for node in (NODE, OTHER):
        assert book.node_registered(node, 1, BORN * DAY) == []
    return book


def test_book_names_every_update_in_order() -> None:
    book = _book()
    now = BORN * DAY
    settled = book.query_settled(QUERY, [NODE, OTHER], [100, 40], now)
    assert settled == [
        ReputationUpdate(NODE, QUERY, 300_000_000, ONE, 0),
        ReputationUpdate(OTHER, QUERY, 274_509_803, 400_000_000, 1_800_000_000),
    ]
    rated = book.feedback_given(QUERY, CUSTOMER, [NODE], [90], now)
    assert rated == [
        ReputationUpdate(NODE, QUERY, 300_000_000, 1_060_000_000, 0),
        CredibilityUpdate(CUSTOMER, 375_000_000),
    ]
    assert book.credibility_of(CUSTOMER) == 375_000_000
    assert book.score_of(OTHER, now + 5_000 * DAY) == rep.PRIOR_SCORE


def test_book_renews_on_a_new_incarnation_and_penalises() -> None:
    book = _book()
    now = BORN * DAY
    book.query_settled(QUERY, [NODE], [50], now)
    (penalty,) = book.node_penalised(NODE, Severity.LIGHT, now)
    assert (penalty.query_id, penalty.bad) == (NO_QUERY, 3_500_000_000)  # type: ignore[union-attr]
    (renewed,) = book.node_registered(NODE, 2, now)
    assert (renewed.good, renewed.bad) == (0, 3_500_000_000)  # type: ignore[union-attr]
    assert book.record_of(NODE).incarnation == 2
    assert book.node_registered(NODE, 2, now) == []


def test_book_takes_back_what_a_penalty_added() -> None:
    book = _book()
    now = BORN * DAY
    book.query_settled(QUERY, [NODE], [100], now)
    before = book.record_of(NODE)
    book.node_penalised(NODE, Severity.GRAVE, now)
    (reversal,) = book.penalty_reversed(NODE, 8 * ONE, BORN, now)
    assert reversal == ReputationUpdate(NODE, NO_QUERY, rep.PRIOR_SCORE, ONE, 0)
    assert book.record_of(NODE) == before


def test_book_forgets_a_record_that_only_a_wrong_claim_began() -> None:
    book = _book()
    now = BORN * DAY
    book.node_penalised(NODE, Severity.CRITICAL, now)
    (reversal,) = book.penalty_reversed(NODE, 32 * ONE, BORN, now + 3 * DAY)
    assert reversal == ReputationUpdate(NODE, NO_QUERY, rep.PRIOR_SCORE, 0, 0)
    assert NODE not in book.records
    assert book.record_of(NODE).incarnation == 1


@pytest.mark.parametrize(("added", "epoch"), [(7 * ONE, BORN), (8 * ONE, BORN - 1), (8 * ONE, BORN)])
def test_book_refuses_to_take_back_what_was_not_added(added: int, epoch: int) -> None:
    book = _book()
    now = BORN * DAY
    book.node_penalised(NODE, Severity.GRAVE, now)
    if (added, epoch) == (8 * ONE, BORN):
        book.penalty_reversed(NODE, added, epoch, now)
    with pytest.raises(UnknownPenaltyError, match="still stands"):
        book.penalty_reversed(NODE, added, epoch, now)


def test_book_ignores_what_is_beyond_the_week() -> None:
    book = _book()
    now = BORN // 7 * 7 * DAY
    for number in range(9):
        query = QueryId(f"0x{number:064x}")
        book.query_settled(query, [NODE], [100], now)
        updates = book.feedback_given(query, CUSTOMER, [NODE], [100], now)
        assert len(updates) == (2 if number < 8 else 0)


def test_book_refuses_feedback_without_settlement() -> None:
    book = _book()
    book.query_settled(QUERY, [NODE], [100], BORN * DAY)
    with pytest.raises(UnsettledFeedbackError, match="0xB"):
        book.feedback_given(QUERY, CUSTOMER, [OTHER], [90], BORN * DAY)
