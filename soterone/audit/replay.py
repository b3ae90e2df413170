"""Everything that the events of a network give, one event after another. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from soterone.audit.claims import ClaimReplay
from soterone.audit.draws import check_draw
from soterone.audit.lifecycles import LifecycleReplay, Windows
from soterone.audit.panels import PanelReplay, check_seed
from soterone.audit.quorum import QuorumReplay
from soterone.audit.registry import RegistryReplay
from soterone.audit.report import Finding
from soterone.audit.scores import ScoreReplay
from soterone.audit.words import Word, words_of_queries, words_of_quorum, words_of_registry, words_of_scores
from soterone.chain.events import Event
from soterone.chain.records import Block
from soterone.domain.reputation_book import ReputationBook

DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Periods:
    """Constructor parameters of the contracts, in seconds; `quorum_epoch` is None without a quorum."""

    epoch: int
    week: int
    feedback: int
    silent_settle: int
    quorum_epoch: int | None = None


@dataclass(slots=True)
class Replay:
    """The replays of all contracts; `events` counts what they were fed, `daily` by day since 1970 and name."""

    registry: RegistryReplay
    lifecycles: LifecycleReplay
    scores: ScoreReplay
    quorum: QuorumReplay | None
    events: int = 0
    daily: dict[int, Counter[str]] = field(default_factory=dict)

    @classmethod
    def new(cls, periods: Periods) -> "Replay":
        """Return the replay of a network on which nothing has happened."""
        registry = RegistryReplay()
        quorum = None
        if periods.quorum_epoch is not None:
            panels = PanelReplay(registry)
            quorum = QuorumReplay(panels, ClaimReplay(panels), periods.quorum_epoch)
        windows = Windows(periods.feedback, periods.silent_settle)
        scores = ScoreReplay(ReputationBook(periods.epoch, periods.week))
        return cls(registry, LifecycleReplay(registry, windows), scores, quorum)

    def apply(self, event: Event, time: int) -> None:
        """Take in the next event with its block's timestamp (seconds)."""
        self.events += 1
        self.daily.setdefault(time // DAY_SECONDS, Counter())[type(event).__name__] += 1
        self.registry.apply(event)
        self.lifecycles.apply(event, time)
        self.scores.apply(event, time)
        if self.quorum:
            self.quorum.apply(event, time, self.scores.penalty)

    def finish(self) -> None:
        """Complain of what should have followed the last event and did not."""
        self.lifecycles.finish()
        self.scores.finish()
        if self.quorum:
            self.quorum.claims.finish()

    def seed_blocks(self) -> set[int]:
        """The heights of the blocks whose hashes drew successors and panels."""
        drawn = {one.event.seed_block for one in self.lifecycles.replacements}
        return drawn | {one.seed_block for one in self.quorum.panels.seeds} if self.quorum else drawn

    def check_draws(self, blocks: Mapping[int, Block]) -> Iterator[Finding]:
        """Repeat every draw of a successor; `blocks` holds the seed blocks that there are."""
        for one in self.lifecycles.replacements:
            yield from check_draw(one, blocks, self.registry, self.scores)

    def check_seeds(self, blocks: Mapping[int, Block]) -> Iterator[Finding]:
        """Compare the seeds of the detectors' panels with their blocks."""
        for one in self.quorum.panels.seeds if self.quorum else ():
            yield from check_seed(one, {number: block.hash for number, block in blocks.items()})

    def words(self) -> tuple[Word, ...]:
        """The storage that the events since the replay began determine, and that of every party that is known: nobody's
        whole past can be left out."""
        nodes, queries = self.registry.nodes, self.lifecycles.queries.values()
        quorum = tuple(words_of_quorum(self.quorum, nodes)) if self.quorum else ()
        return (
            *words_of_registry(self.registry),
            *words_of_queries(self.lifecycles),
            *words_of_scores(self.scores, nodes, {one.customer for one in queries}),
            *quorum,
        )
