"""Claims under appeal, as the chain has them, and what takes one back.

A claim stands unless one of three things is so: too few accusers open evidence that bears it out; a query that the
chain bears out excuses the silence; or the panel of the appeal measures the very same profile and finds it true. What
a node may simply have mended since (silence, version) is not measured again.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from node_agent.detection.draws import Draws
from node_agent.detection.findings import Findings, suspicions
from node_agent.detection.snapshots import judge_snapshots
from node_agent.detection.verdict import Opinion, judge_profile
from soterone.chain.events import ClaimAppealed
from soterone.chain.quorum import Quorum
from soterone.domain.detection import Claim, Kind, Measurement
from soterone.domain.ids import Account, Hash32, hash_bytes
from soterone.domain.panels import Bench, TooFewSeatsError

MEASURED_AGAIN = (Kind.PROFILE, Kind.SNAPSHOT)
_FRESH_SECONDS = 5.0
_EPOCHS_BACK = 4
_SPARE_BLOCKS = 100


@dataclass(frozen=True, slots=True)
class Appeal:
    """A claim that its accused contests. `leaves`: what each accuser who signed had committed to. `panel` hears it in
    `epoch`, in ascending order, and `threshold` of its votes reverse. So many `openings` carry the claim: accusers who
    collude with the accused sign, then open nothing."""

    claim_id: Hash32
    claim: Claim
    epoch: int
    counter_evidence_hash: Hash32
    leaves: Mapping[Account, bytes]
    panel: tuple[Account, ...]
    threshold: int
    openings: int

    @property
    def node(self) -> Account:
        """The accused."""
        return self.claim.accusation.node

    @property
    def accusers(self) -> tuple[Account, ...]:
        """Who signed the claim."""
        return tuple(self.leaves)


class Appeals:
    """The appeals that are heard in an epoch. May raise what a `ChainClient` raises."""

    def __init__(self, quorum: Quorum, draws: Draws, clock: Callable[[], float] = time.monotonic) -> None:
        self._quorum, self._draws, self._clock = quorum, draws, clock
        self._known: dict[int, tuple[float, tuple[Appeal, ...]]] = {}

    async def in_epoch(self, epoch: int) -> tuple[Appeal, ...]:
        """Return the appeals that are heard in an epoch; none before it is seeded."""
        read_at, known = self._known.get(epoch, (float("-inf"), ()))
        if self._clock() - read_at > _FRESH_SECONDS:
            known = await self._read(epoch)
            self._known = {one: kept for one, kept in self._known.items() if one >= epoch - 1}
            self._known[epoch] = self._clock(), known
        return known

    async def judges(self, node: Account, epoch: int) -> frozenset[Account]:
        """Return who hears appeals of a node in an epoch."""
        return frozenset(
            judge for one in await self.in_epoch(epoch) if one.node == node for judge in one.panel
        )

    async def find(self, claim_id: Hash32, epoch: int) -> Appeal | None:
        """Return the appeal against a claim, None unless it is heard in this epoch."""
        return next((one for one in await self.in_epoch(epoch) if one.claim_id == claim_id), None)

    async def _read(self, epoch: int) -> tuple[Appeal, ...]:
        bench = await self._draws.bench(epoch)
        if bench is None:
            return ()
        seconds = await self._quorum.epoch_seconds()
        found = []
        for event in await self._quorum.appeals(_EPOCHS_BACK * seconds + _SPARE_BLOCKS):
            if event.epoch == epoch:
                blocks_back = (bench.terms.appeal_epochs + _EPOCHS_BACK) * seconds + _SPARE_BLOCKS
                found.append(await self._appeal(event, bench, blocks_back))
        return tuple(one for one in found if one is not None)

    async def _appeal(self, event: ClaimAppealed, bench: Bench, blocks_back: int) -> Appeal | None:
        upheld = await self._quorum.claim(event.claim_id, blocks_back)
        committed = await self._quorum.commitment(event.claim_id, blocks_back)
        first = await self._draws.bench(upheld.claim.accusation.epoch) if upheld else None
        if upheld is None or committed is None or first is None:
            return None
        accused = upheld.claim.accusation
        try:
            accusing = first.panel_on(accused.node, accused.operator)
            hearing = bench.panel_on_appeal(event.claim_id, accused.node, accused.operator, accusing)
        except TooFewSeatsError:
            return None
        signers = upheld.claim.signers_among(accusing)
        leaves = dict(zip(accusing, map(hash_bytes, committed.leaves), strict=True))
        return Appeal(
            claim_id=event.claim_id,
            claim=upheld.claim,
            epoch=event.epoch,
            counter_evidence_hash=event.counter_evidence_hash,
            leaves={one: leaves[one] for one in signers},
            panel=hearing,
            threshold=first.terms.threshold,
            openings=first.terms.honest_voters,
        )


@dataclass(frozen=True, slots=True)
class Shown:
    """What one accuser's evidence has, once vote, signature and hashes fit; `measured` is of its vote."""

    findings: Findings
    measured: Measurement


def reason_to_reverse(
    appeal: Appeal, shown: Sequence[Shown], seen: Findings | None, *, excused: bool, not_asked: int = 0
) -> str | None:
    """Return in one sentence why the claim is to be taken back, None when it stands. Pure.

    `seen` is what this panel saw itself in the epoch of the appeal; `excused` whether the chain bears out that the
    accused computed a query while it was judged; `not_asked` how many accusers' addresses nobody told: doubt keeps the
    claim.
    """
    kind = appeal.claim.accusation.kind
    bearing = [one for one in shown if _bears_out(one, kind)]
    if len(bearing) + not_asked < appeal.openings:
        return f"Evidence that bears out the claim was opened by {len(bearing)} of its accusers only."
    if kind is Kind.LIVENESS and excused:
        return "It computed a query for as long as it was judged."
    same = bearing and seen is not None and all(one.findings.declared == seen.declared for one in bearing)
    if kind in MEASURED_AGAIN and seen is not None and same and _is_true(kind, seen):
        return "The same profile was measured again, and is true."
    return None


def _bears_out(one: Shown, kind: Kind) -> bool:
    """Whether the accusation follows; from numbers that no measurement gives, nothing does."""
    try:
        return any(
            suspicion.kind is kind and suspicion.measured == one.measured
            for suspicion in suspicions(one.findings)
        )
    except (ArithmeticError, ValueError):
        return False


def _is_true(kind: Kind, seen: Findings) -> bool:
    profile = judge_profile(seen.declared, seen.rounds).opinion is Opinion.TRUE
    if kind is Kind.PROFILE:
        return profile
    told = judge_snapshots(seen.declared, seen.rounds, seen.snapshots)
    return profile and told.opinion is Opinion.TRUE
