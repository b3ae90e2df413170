"""What findings accuse of, and what excuses."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node_agent.detection.findings import FINDINGS, Findings, Heard, Try, TwoRoots, suspicions
from node_agent.detection.plan import STEPS, Declared
from node_agent.detection.schedule import Schedule
from node_agent.detection.snapshots import Snapshot
from node_agent.detection.verdict import Pair, Round
from soterone.domain.detection import Kind, Measurement

SIXTEEN = Declared(16, 16_384, 20_000)
VERSION = 0x000100
LIE = Round(16, STEPS, (Pair(0.1, 0.8, 0),), SIXTEEN.memory_asked_mib)
TRUTH = replace(LIE, pairs=(Pair(0.1, 0.12, 0),))
NOTHING_SEEN = Findings(SIXTEEN, VERSION)
ROOTS = TwoRoots("d", "00", "01", "02", "03")


def tried(*tries: Try) -> Findings:
    return replace(NOTHING_SEEN, tries=tries)


def kinds(seen: Findings) -> list[Kind]:
    return [one.kind for one in suspicions(seen)]


def every_round(probe: Heard, challenge: Heard = Heard.UNSURE, tries: int = 3) -> list[Try]:
    return [Try(number, probe, challenge) for number in (0, 1) for _ in range(tries)]


def test_nothing_seen_accuses_nobody() -> None:
    assert kinds(NOTHING_SEEN) == []


def test_silence_in_every_round_is_a_claim_about_liveness() -> None:
    assert kinds(tried(*every_round(Heard.NOTHING))) == [Kind.LIVENESS]


@pytest.mark.parametrize("challenge", [Heard.ANSWER, Heard.EXCUSE])
def test_one_answer_breaks_the_silence(challenge: Heard) -> None:
    assert kinds(tried(*every_round(Heard.NOTHING), Try(1, Heard.ANSWER, challenge))) == []


def test_who_refuses_the_probe_already_escapes_no_claim() -> None:
    assert kinds(tried(*every_round(Heard.REFUSAL))) == [Kind.LIVENESS]


def test_silence_and_refusals_count_together() -> None:
    mixed = [Try(0, Heard.NOTHING), Try(0, Heard.REFUSAL), Try(0, Heard.ANSWER, Heard.REFUSAL)]
    refused = [Try(1, Heard.REFUSAL)] * 3
    assert kinds(tried(*mixed, *refused)) == [Kind.LIVENESS]
    assert kinds(tried(*mixed, *refused[1:])) == []


def test_silence_counts_only_while_others_are_heard_and_in_every_round() -> None:
    assert kinds(tried(*every_round(Heard.UNSURE, tries=9))) == []
    assert kinds(tried(*[Try(0, Heard.NOTHING)] * 9)) == []
    assert kinds(tried(*every_round(Heard.NOTHING, tries=2))) == []


def test_challenges_refused_in_every_round_are_a_claim_about_liveness() -> None:
    assert kinds(tried(*every_round(Heard.ANSWER, Heard.REFUSAL))) == [Kind.LIVENESS]


@pytest.mark.parametrize("challenge", [Heard.EXCUSE, Heard.ANSWER])
def test_a_query_that_computes_excuses_a_round(challenge: Heard) -> None:
    refused = every_round(Heard.ANSWER, Heard.REFUSAL)
    assert kinds(tried(*refused, Try(0, Heard.ANSWER, challenge))) == []


def test_a_false_profile_is_accused_with_what_was_measured() -> None:
    (found,) = suspicions(replace(NOTHING_SEEN, rounds=(LIE, LIE)))
    assert (found.kind, found.measured) == (Kind.PROFILE, Measurement(2, 16_384, 30_000))
    assert kinds(replace(NOTHING_SEEN, rounds=(LIE,))) == []
    assert kinds(replace(NOTHING_SEEN, rounds=(LIE, TRUTH))) == []


def test_who_refuses_one_round_is_judged_by_the_other() -> None:
    answered, refused = [Try(0, Heard.ANSWER, Heard.ANSWER)], [Try(1, Heard.ANSWER, Heard.REFUSAL)] * 3
    seen = tried(*answered, *refused)
    assert kinds(replace(seen, rounds=(LIE,))) == [Kind.PROFILE]
    assert kinds(replace(seen, rounds=(TRUTH,))) == []
    assert kinds(replace(seen, rounds=(TRUTH,), snapshots=(Snapshot(0.0, 2**30),))) == [Kind.SNAPSHOT]
    assert kinds(replace(tried(*answered, *refused[1:]), rounds=(LIE,))) == []


def test_who_leaves_before_the_vote_answers_for_its_lies_alone() -> None:
    seen = replace(tried(*every_round(Heard.NOTHING)), rounds=(LIE, LIE))
    assert [one.kind for one in suspicions(seen, serves=False)] == [Kind.PROFILE]
    assert kinds(seen) == [Kind.LIVENESS, Kind.PROFILE]


def test_a_false_snapshot_a_false_version_and_two_roots_are_each_a_claim() -> None:
    told = (Snapshot(0.0, 2**30),) * 2
    assert kinds(replace(NOTHING_SEEN, rounds=(TRUTH, TRUTH), snapshots=told)) == [Kind.SNAPSHOT]
    assert kinds(replace(NOTHING_SEEN, versions=(VERSION + 1, VERSION + 2))) == [Kind.VERSION]
    assert kinds(replace(NOTHING_SEEN, versions=(VERSION + 1, VERSION))) == []
    assert kinds(replace(NOTHING_SEEN, versions=(VERSION + 1,))) == []
    assert kinds(replace(NOTHING_SEEN, two_roots=(ROOTS,))) == [Kind.DATASET]


heard = st.sampled_from(Heard)


@settings(deadline=None)
@given(st.lists(st.builds(Try, st.integers(0, 1), heard, heard)))
def test_findings_survive_being_kept(tries: list[Try]) -> None:
    seen = replace(tried(*tries), rounds=(LIE, TRUTH), snapshots=(Snapshot(0.5, 7),), two_roots=(ROOTS,))
    assert FINDINGS.validate_json(FINDINGS.dump_json(seen)) == seen


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 10**6))
def test_an_epoch_has_its_steps_in_order(epoch: int, seconds: int) -> None:
    times = Schedule(epoch, seconds)
    steps = [times.round(0), times.round(1), times.votes, times.commitments]
    ends = [edge for window in steps for edge in (window.start, window.end)]
    assert ends == sorted(ends)
    assert epoch * seconds < ends[0]
    assert ends[-1] < times.end
    assert epoch * seconds < times.reveals.start < times.reveals.end < times.end
    assert times.round(0).within(0.5) == pytest.approx((times.round(0).start + times.round(0).end) / 2)
