"""From measurements to a verdict on a profile, with margins so wide that no honest node is accused. Pure.

Two things are looked at, the median of each round, in the best round. *Speed-up*: how many times more work all
lanes did than one lane did right before, which network, machine and steady load move little. *Work*: what all
lanes did a second, held against the declared speed and the load that the node itself told, so that who delays the
yardstick to seem parallel, or hides two cores behind many lanes, must own up to a load, to the coordinator as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from node_agent.detection.plan import Declared
from soterone.domain.detection import Measurement

ROUNDS = 2
"""A profile is judged after so many challenges; one alone accuses nobody."""

MARGIN = 4.0
"""An honest core may do a quarter of what it does alone: half for two threads on one core, half for a full machine."""

UNSETTLED = 2.0
"""How many times more than its heartbeat's average of a minute a node's load may be when it is challenged."""

_SHORTEST_SECONDS = 1e-6
_THOUSANDTHS = 1000


class Opinion(StrEnum):
    """What a detector makes of a profile."""

    TRUE = "true"
    FALSE = "false"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Pair:
    """A yardstick run and the run of all lanes after it: seconds without the round trip, and the most tasks that the
    node said were runnable beside ours."""

    yardstick_seconds: float
    parallel_seconds: float
    load: float


@dataclass(frozen=True, slots=True)
class Round:
    """What one challenge gave. `wrong`: an answer was false or missing. `memory_shown_mib`: 0 when it was not shown.
    `load_in_heartbeats`: what the coordinator had of the node's load right after it, None when it told nothing."""

    lanes: int
    steps: int
    pairs: tuple[Pair, ...]
    memory_shown_mib: int
    wrong: bool = False
    load_in_heartbeats: float | None = None

    def excused(self, pair: Pair) -> float:
        """Return the load that excuses slowness: what the node told, and no more than heartbeats may have missed."""
        if self.load_in_heartbeats is None:
            return max(0.0, pair.load)
        return min(max(0.0, pair.load), UNSETTLED * (max(0.0, self.load_in_heartbeats) + 1))


NOTHING_SHOWN = Measurement(1, 1, 0)
"""What is believed of a node that never answered rightly."""


@dataclass(frozen=True, slots=True)
class ProfileVerdict:
    """An opinion with what was measured (None before there is anything) and the reason in one sentence."""

    opinion: Opinion
    measured: Measurement | None
    sentence: str


def judge_profile(declared: Declared, rounds: Sequence[Round], failed: int = 0) -> ProfileVerdict:
    """Judge a profile; UNDECIDED before `ROUNDS` rounds. Never FALSE unless every round gives reason.

    `failed` rounds, which the node did not answer and did not excuse, are done and speak for nobody.
    """
    if not rounds or len(rounds) + failed < ROUNDS:
        return ProfileVerdict(Opinion.UNDECIDED, None, f"{len(rounds)} of {ROUNDS} rounds are done.")
    right = [one for one in rounds if not one.wrong]
    if not right:
        return ProfileVerdict(Opinion.FALSE, NOTHING_SHOWN, "In every round an answer was wrong.")
    best = _best(declared, right)
    if best is None:
        return ProfileVerdict(Opinion.UNDECIDED, None, "No run could be measured.")
    said = f"{best.lanes} lanes did the work of {best.speed_up:.2f} at best."
    if best.speed_up * MARGIN < best.lanes:
        return ProfileVerdict(Opinion.FALSE, best.measured(round(best.speed_up), best.speed), said)
    if best.fraction * MARGIN < 1:
        said = f"All lanes did {best.fraction:.3f} at best of what profile and told load let expect."
        measured = best.measured(round(best.fraction * declared.cores), declared.speed)
        return ProfileVerdict(Opinion.FALSE, measured, said)
    if best.memory_mib < declared.memory_mib:
        said = f"It filled {best.memory_mib} at best of the {declared.memory_asked_mib} MiB asked for."
        return ProfileVerdict(Opinion.FALSE, best.measured(declared.cores, declared.speed), said)
    return ProfileVerdict(Opinion.TRUE, best.measured(declared.cores, declared.speed), said)


@dataclass(frozen=True, slots=True)
class _Best:
    lanes: int
    speed_up: float
    fraction: float
    speed: int
    memory_mib: int

    def measured(self, cores: int, speed: int) -> Measurement:
        return Measurement(max(1, cores), self.memory_mib, speed)


def _best(declared: Declared, rounds: Sequence[Round]) -> _Best | None:
    measured = [one for one in rounds if one.pairs]
    if not measured:
        return None
    pairs = [(one, pair) for one in measured for pair in one.pairs]
    return _Best(
        lanes=max(one.lanes for one in measured),
        speed_up=max(median(_speed_up(one, pair) for pair in one.pairs) for one in measured),
        fraction=max(
            median(_fraction_of_declared(declared, one, pair) for pair in one.pairs) for one in measured
        ),
        speed=max(round(_THOUSANDTHS * one.steps / _seconds(pair.yardstick_seconds)) for one, pair in pairs),
        memory_mib=_memory(declared, rounds),
    )


def _memory(declared: Declared, rounds: Sequence[Round]) -> int:
    """What was not refuted stands as declared: a challenge fills a part only."""
    shown = max(one.memory_shown_mib for one in rounds)
    return declared.memory_mib if shown >= declared.memory_asked_mib else max(1, shown)


def _speed_up(one: Round, pair: Pair) -> float:
    return one.lanes * pair.yardstick_seconds / _seconds(pair.parallel_seconds)


def _fraction_of_declared(declared: Declared, one: Round, pair: Pair) -> float:
    """Work done over work to be expected when all runnable tasks share the declared cores alike."""
    done = one.lanes * one.steps / _seconds(pair.parallel_seconds)
    cores = max(declared.cores, one.lanes)
    share = min(1.0, cores / (one.lanes + one.excused(pair)))
    return done / (one.lanes * share * declared.speed / _THOUSANDTHS)


def _seconds(seconds: float) -> float:
    return max(seconds, _SHORTEST_SECONDS)
