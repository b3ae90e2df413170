"""Lives of single nodes: one stranger's query a day, settled and rated the same day, and what else happens to it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from soterone.domain.reputation import (
    INITIAL_CREDIBILITY,
    ONE,
    Record,
    Severity,
    apply_feedback,
    apply_observation,
    apply_penalty,
    take_back,
    update_credibility,
)

BORN: Final = 20_000
SETTLED_DAYS: Final = 90
VETERAN_DAYS: Final = 180
DEFAMED_DAYS: Final = 90
FARMED: Final = "one customer that was truthful before"


@dataclass(slots=True)
class Critic:
    """A customer with its credibility, 1e9 fixed point."""

    credibility: int = INITIAL_CREDIBILITY

    def rate(self, life: "Life", rating: int, observation: int) -> None:
        """Rate a node, in percent, after a query that was settled with `observation`."""
        life.record = apply_feedback(life.record, life.day, rating, self.credibility)
        self.credibility = update_credibility(self.credibility, [rating], [observation])


@dataclass(slots=True)
class Life:
    """A node's record from its first day on; its everyday customer rates 90 what went well and 10 what did not."""

    record: Record = field(default_factory=Record)
    day: int = BORN
    customer: Critic = field(default_factory=Critic)

    def serve(self, observation: int, rating: int | None = None) -> None:
        """Take a stranger's query; without a rating the everyday one."""
        self.record = apply_observation(self.record, self.day, observation)
        usual = 90 if observation > 50 else 10
        self.customer.rate(self, usual if rating is None else rating, observation)

    def sleep(self) -> float:
        """End the day; return R' of its evening, 0 to 1."""
        self.day += 1
        return self.record.score / ONE

    def live(self, observations: Iterable[int]) -> list[float]:
        """Take one query a day; return R' of each evening."""
        return [self._one(observation) for observation in observations]

    def penalise(self, severity: Severity) -> tuple[int, int]:
        """Suffer an upheld claim; return what it added, and when."""
        before = self.record.bad
        self.record = apply_penalty(self.record, self.day, severity)
        return self.record.bad - before, self.day

    def vindicate(self, added: int, epoch: int) -> None:
        """Win an appeal: take back what a claim added."""
        self.record = take_back(self.record, self.day, added, epoch)

    def _one(self, observation: int) -> float:
        self.serve(observation)
        return self.sleep()


@dataclass(frozen=True, slots=True)
class Defamation:
    """What slander does to an honest node that serves all the while: its R' at the end, what it is without slander,
    and the queries that the slanderers had to order, and the node to serve."""

    slanderers: str
    score: float
    undisturbed: float
    queries: int


@dataclass(frozen=True, slots=True)
class Setback:
    """What an upheld claim does to a veteran that serves on: its R' right after and on the evenings of the 30th and
    90th day, and the day on whose evening a newcomer of the claim's day has more."""

    severity: Severity
    score: float
    after_30_days: float
    after_90_days: float
    overtaken_on_day: int


def veteran() -> Life:
    """Return an honest node of 180 days."""
    life = Life()
    life.live([100] * VETERAN_DAYS)
    return life


def setbacks() -> list[Setback]:
    """Return what a claim of each severity does to a veteran."""
    return [_setback(severity) for severity in Severity]


def _setback(severity: Severity) -> Setback:
    accused, newcomer = veteran(), Life(day=BORN + VETERAN_DAYS)
    accused.penalise(severity)
    fallen = accused.record.score / ONE
    rise, way_back = newcomer.live([100] * VETERAN_DAYS), accused.live([100] * VETERAN_DAYS)
    overtaken = next(day for day in range(VETERAN_DAYS) if rise[day] > way_back[day]) + 1
    return Setback(severity, fallen, way_back[29], way_back[89], overtaken)


def defamations() -> list[Defamation]:
    """Return what a node of 90 days suffers in 90 more."""
    undisturbed = _defamed([], 0)
    daily = {
        "one customer": [Critic()] * DEFAMED_DAYS,
        FARMED: [_farmed()] * DEFAMED_DAYS,
        "a new customer each day": [Critic() for _ in range(DEFAMED_DAYS)],
        "three new customers each day": [Critic() for _ in range(3 * DEFAMED_DAYS)],
    }
    return [
        Defamation(name, _defamed(critics, len(critics) // DEFAMED_DAYS), undisturbed, len(critics))
        for name, critics in daily.items()
    ]


def _farmed() -> Critic:
    """A customer after 56 truthful ratings."""
    critic, elsewhere = Critic(), Life()
    for _ in range(56):
        critic.rate(elsewhere, 100, 100)
    return critic


def _defamed(critics: list[Critic], a_day: int) -> float:
    life, waiting = Life(), iter(critics)
    life.live([100] * SETTLED_DAYS)
    score = 0.0
    for _ in range(DEFAMED_DAYS):
        life.serve(100)
        for _ in range(a_day):
            life.record = apply_observation(life.record, life.day, 100)
            next(waiting).rate(life, 0, 100)
        score = life.sleep()
    return score
