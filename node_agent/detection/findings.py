"""What one detector saw of one node in one epoch, and which accusations follow from it. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter

from node_agent.detection.plan import Declared
from node_agent.detection.snapshots import Snapshot, judge_snapshots
from node_agent.detection.verdict import ROUNDS, Opinion, Round, judge_profile
from soterone.domain.detection import NOTHING_MEASURED, Kind, Measurement

LEAST_TRIES = 3
"""A node fails a round when so many tries found it silent or refusing and none brought an answer or an excuse."""


class Heard(StrEnum):
    """How a try to reach a node ended. NOTHING does not count when this detector could reach nobody else either."""

    ANSWER = "answer"
    REFUSAL = "refusal"
    EXCUSE = "excuse"
    NOTHING = "nothing"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Try:
    """One try of a round: the probe, and the challenge where the probe was answered (UNSURE where it was not asked)."""

    round: int
    probe: Heard
    challenge: Heard = Heard.UNSURE


@dataclass(frozen=True, slots=True)
class TwoRoots:
    """A dataset that its owner has bound to two sets of rows, in hexadecimal; both signatures are the owner's."""

    dataset: str
    first_root: str
    first_signature: str
    second_root: str
    second_signature: str


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that a vote on a node may stand on. `versions` are those that it told beside the one on chain."""

    declared: Declared
    version_on_chain: int
    tries: tuple[Try, ...] = ()
    rounds: tuple[Round, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    versions: tuple[int, ...] = ()
    two_roots: tuple[TwoRoots, ...] = ()

    def tried(self, one: Try) -> "Findings":
        """Return these findings and one more try."""
        return replace(self, tries=(*self.tries, one))

    def document(self) -> dict[str, Any]:
        """Return them as JSON has them: what is shown in an appeal."""
        return FINDINGS.dump_python(self, mode="json")  # type: ignore[no-any-return]


FINDINGS = TypeAdapter(Findings)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What a node is accused of, with what was measured when that is its profile, and the reason in one sentence."""

    kind: Kind
    sentence: str
    measured: Measurement = field(default=NOTHING_MEASURED)


def suspicions(seen: Findings, *, serves: bool = True) -> tuple[Suspicion, ...]:
    """Return what the findings accuse a node of, one a kind; none for an honest node, whatever its load.

    A node that no longer `serves` owes nobody an answer, but answers for what it said before it left.
    """
    return tuple(_suspicions(seen, serves))


def _suspicions(seen: Findings, serves: bool) -> Iterator[Suspicion]:
    failed = sum(_failed(seen, number) for number in range(ROUNDS))
    if serves and failed == ROUNDS:
        yield Suspicion(Kind.LIVENESS, "In every round it was silent, or refused without an excuse.")
    profile = judge_profile(seen.declared, seen.rounds, failed)
    if profile.opinion is Opinion.FALSE and profile.measured is not None:
        yield Suspicion(Kind.PROFILE, profile.sentence, profile.measured)
    snapshot = judge_snapshots(seen.declared, seen.rounds, seen.snapshots, failed)
    if snapshot.opinion is Opinion.FALSE:
        yield Suspicion(Kind.SNAPSHOT, snapshot.sentence)
    if len(seen.versions) >= ROUNDS and all(one != seen.version_on_chain for one in seen.versions):
        yield Suspicion(Kind.VERSION, "The version that it runs is not the one that it registered.")
    if seen.two_roots:
        yield Suspicion(Kind.DATASET, f"Dataset {seen.two_roots[0].dataset} is bound to two sets of rows.")


def _failed(seen: Findings, number: int) -> bool:
    """Silence and refusals count alike: who mixes them, or refuses the probe already, gains nothing by it."""
    tries = [one for one in seen.tries if one.round == number]
    if any(one.challenge in (Heard.ANSWER, Heard.EXCUSE) for one in tries):
        return False
    failures = [
        one for one in tries if one.probe is Heard.NOTHING or Heard.REFUSAL in (one.probe, one.challenge)
    ]
    return len(failures) >= LEAST_TRIES
