"""What takes a claim back, and what does not."""

from dataclasses import replace

import pytest

from node_agent.detection.appeals import Appeal, Shown, reason_to_reverse
from node_agent.detection.findings import Findings, Heard, Try
from node_agent.detection.plan import STEPS, Declared
from node_agent.detection.snapshots import Snapshot
from node_agent.detection.verdict import Pair, Round, judge_profile
from soterone.crypto.accounts import account
from soterone.domain.detection import NOTHING_MEASURED, Accusation, Claim, Kind, Measurement
from soterone.domain.ids import hash32
from soterone.domain.panels import Terms
from soterone.domain.reputation import Severity

NODE, ACCUSERS = account(b"\x01" * 20), [account(bytes([number] * 20)) for number in (2, 3)]
SIXTEEN = Declared(16, 16_384, 20_000)
LIE = Round(16, STEPS, (Pair(0.1, 0.8, 0),), SIXTEEN.memory_asked_mib)
TRUTH = replace(LIE, pairs=(Pair(0.1, 0.12, 0),))
LIED = Findings(SIXTEEN, 256, rounds=(LIE, LIE))
TRUE = Findings(SIXTEEN, 256, rounds=(TRUTH, TRUTH))
SILENT = Findings(
    SIXTEEN, 256, tries=tuple(Try(number, Heard.NOTHING) for number in (0, 1) for _ in range(3))
)


def appeal(kind: Kind = Kind.PROFILE, openings: int = 2) -> Appeal:
    accusation = Accusation(NODE, NODE, 7, kind, Severity.LIGHT)
    return Appeal(
        claim_id=hash32(bytes(32)),
        claim=Claim(accusation, 0b11, 1, 1),
        epoch=9,
        counter_evidence_hash=hash32(bytes(32)),
        leaves=dict.fromkeys(ACCUSERS, bytes(32)),
        panel=(),
        threshold=2,
        openings=openings,
    )


def shown(findings: Findings, measured: Measurement = NOTHING_MEASURED) -> list[Shown]:
    return [Shown(findings, measured)] * 2


def measured() -> Measurement:
    found = judge_profile(SIXTEEN, LIED.rounds).measured
    assert found is not None
    return found


def test_a_claim_with_evidence_stands() -> None:
    assert reason_to_reverse(appeal(), shown(LIED, measured()), None, excused=False) is None
    assert reason_to_reverse(appeal(), shown(LIED, measured()), LIED, excused=True) is None


def test_evidence_that_is_not_opened_or_bears_nothing_out_takes_it_back() -> None:
    assert reason_to_reverse(appeal(), shown(LIED, measured())[:1], None, excused=False)
    assert reason_to_reverse(appeal(), shown(TRUE, measured()), None, excused=False)
    other = replace(measured(), cores=1)
    assert other != measured()
    assert reason_to_reverse(appeal(), shown(LIED, other), None, excused=False)
    assert reason_to_reverse(appeal(Kind.VERSION), shown(LIED, measured()), None, excused=False)


def test_two_of_seven_who_sign_and_then_open_nothing_protect_nobody() -> None:
    seven = Terms(panel_size=7, threshold=5, appeal_epochs=24, suspension_epochs=720, severities=0x01312210)
    opened = [Shown(LIED, measured())] * 3
    assert reason_to_reverse(appeal(openings=seven.honest_voters), opened, None, excused=False) is None
    assert reason_to_reverse(appeal(openings=seven.honest_voters), opened[1:], None, excused=False)


def test_accusers_whom_nobody_could_ask_have_kept_nothing_back() -> None:
    assert reason_to_reverse(appeal(), [], None, excused=False, not_asked=2) is None
    assert reason_to_reverse(appeal(), [], TRUE, excused=False, not_asked=2) is None
    assert reason_to_reverse(appeal(), [], None, excused=False, not_asked=1)


@pytest.mark.parametrize("speed", [0, 10**400])
def test_evidence_that_cannot_be_computed_with_bears_nothing_out(speed: int) -> None:
    lied = replace(LIED, declared=replace(SIXTEEN, speed=speed))
    assert reason_to_reverse(appeal(), shown(lied, measured()), None, excused=False)


def test_the_same_profile_found_true_takes_it_back() -> None:
    reason = reason_to_reverse(appeal(), shown(LIED, measured()), TRUE, excused=False)
    assert reason == "The same profile was measured again, and is true."


@pytest.mark.parametrize("other", [Declared(2, 16_384, 20_000), Declared(16, 8_192, 20_000)])
def test_another_profile_that_is_true_does_not(other: Declared) -> None:
    seen = replace(TRUE, declared=other, rounds=(replace(TRUTH, lanes=other.lanes),) * 2)
    assert reason_to_reverse(appeal(), shown(LIED, measured()), seen, excused=False) is None


def test_a_round_that_was_not_played_proves_nothing() -> None:
    seen = replace(TRUE, rounds=(TRUTH,))
    assert reason_to_reverse(appeal(), shown(LIED, measured()), seen, excused=False) is None


def test_what_may_have_been_mended_is_not_measured_again() -> None:
    assert reason_to_reverse(appeal(Kind.LIVENESS), shown(SILENT), TRUE, excused=False) is None
    wrong = replace(TRUE, versions=(1, 1))
    assert reason_to_reverse(appeal(Kind.VERSION), shown(wrong), TRUE, excused=False) is None


def test_a_query_excuses_silence_and_nothing_else() -> None:
    assert reason_to_reverse(appeal(Kind.LIVENESS), shown(SILENT), None, excused=True)
    assert reason_to_reverse(appeal(), shown(LIED, measured()), None, excused=True) is None


def test_snapshots_are_taken_again() -> None:
    loaded = tuple(replace(TRUTH, pairs=(Pair(0.1, 0.12, 90),)) for _ in range(2))
    lied = Findings(SIXTEEN, 256, rounds=loaded, snapshots=(Snapshot(0.0, SIXTEEN.memory_mib * 2**20),))
    honest = replace(TRUE, snapshots=lied.snapshots)
    assert reason_to_reverse(appeal(Kind.SNAPSHOT), shown(lied), lied, excused=False) is None
    assert reason_to_reverse(appeal(Kind.SNAPSHOT), shown(lied), honest, excused=False)
