"""The reputation of a node, R' = Q(M, F, R): Beta reputation with forgetting (Jøsang & Ismail, "The Beta
Reputation System", 2002) in integers, bit for bit what `contracts/libraries/ReputationMath.sol` computes.

Evidence, scores and credibilities are 1e9 fixed point, decay factors 1e18; every division rounds down.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from math import isqrt
from typing import Final

ONE: Final = 1_000_000_000
"""One unit of evidence, the score 1, the credibility 1."""

DECAY_ONE: Final = 10**18
EVIDENCE_CAP: Final = 200 * ONE
EPOCH_CAP: Final = 4 * ONE
PRIOR_WEIGHT: Final = 8 * ONE
PRIOR_SCORE: Final = 300_000_000
PRIOR_EVIDENCE: Final = PRIOR_WEIGHT * PRIOR_SCORE // ONE
TENURE_EPOCHS: Final = 60
INITIAL_CREDIBILITY: Final = 300_000_000
WEEKLY_FEEDBACKS: Final = 8
PERCENT: Final = ONE // 100


class HalfLife(IntEnum):
    """Epochs after which half of the evidence is forgotten: the bad lives three times as long as the good."""

    GOOD = 30
    BAD = 90


class Severity(IntEnum):
    """How grave an upheld claim is."""

    LIGHT = 1
    GRAVE = 2
    CRITICAL = 3


PENALTIES: Final = {Severity.LIGHT: 2 * ONE, Severity.GRAVE: 8 * ONE, Severity.CRITICAL: 32 * ONE}

DECAY_POWERS: Final = {
    HalfLife.GOOD: (
        977159968434245955,
        954841603910416551,
        911722488558216808,
        831237896142787778,
        690956439983888040,
        477420801955208276,
        227930622139554202,
        51952368508924236,
        2699048593687063,
        7284863311084,
        53069233,
        0,
    ),
    HalfLife.BAD: (
        992327946262943481,
        984714752934431245,
        969663144646717968,
        940246614086161893,
        884063695300491852,
        781568617348360899,
        610849503623828582,
        373137116077477768,
        139231307394617118,
        19385356958814363,
        375792064420652,
        141219675682,
    ),
}
"""`DECAY_POWERS[h][i]` is 2^(-2^i / h), rounded to 1e18: the factors that the bits of an age select."""

FORGOTTEN_EPOCHS: Final = 1 << 12
"""From this age on not one unit is left of the largest evidence."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the chain keeps of a node, in one slot; `last_epoch` 0 means that nothing was ever observed.

    Attributes:
        good, bad: evidence r and s as of `last_epoch`, 0 to 200e9.
        last_epoch, born_epoch: of the last update and of the first one in this incarnation.
        score: R' at the last update, 0 to 1e9.
        good_this_epoch, bad_this_epoch: evidence already taken in `last_epoch`, 0 to 4e9.
        incarnation: the registry's count of registrations, modulo 256.
        flags: reserved.
    """

    good: int = 0
    bad: int = 0
    last_epoch: int = 0
    born_epoch: int = 0
    score: int = PRIOR_SCORE
    good_this_epoch: int = 0
    bad_this_epoch: int = 0
    incarnation: int = 0
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one observation, rating or penalty adds: g and b, 1e9 fixed point."""

    good: int = 0
    bad: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What the chain keeps of a customer: its credibility c_q and the feedbacks that counted in `week`."""

    credibility: int = INITIAL_CREDIBILITY
    week: int = 0
    counted: int = 0


def decay(value: int, epochs: int, half_life: HalfLife) -> int:
    """Return value · 2^(−epochs / half_life), by the binary powers that the bits of `epochs` select.

    decay(decay(v, a), b) and decay(v, a + b) differ by at most 2 for v up to the cap, so that updating often
    gains nothing.
    """
    if epochs >= FORGOTTEN_EPOCHS:
        return 0
    factor = DECAY_ONE
    for bit, power in enumerate(DECAY_POWERS[half_life]):
        if epochs >> bit & 1:
            factor = factor * power // DECAY_ONE
    return value * factor // DECAY_ONE


def expectation(good: int, bad: int) -> int:
    """Return E = (r + W·a) / (r + s + W), the mean of the Beta distribution."""
    return (good + PRIOR_EVIDENCE) * ONE // (good + bad + PRIOR_WEIGHT)


def tenure_cap(age_epochs: int) -> int:
    """Return a + (1 − a)·min(1, age / 60): the most that a node of this age may score."""
    return PRIOR_SCORE + (ONE - PRIOR_SCORE) * min(age_epochs, TENURE_EPOCHS) // TENURE_EPOCHS


def advance(record: Record, epoch: int) -> Record:
    """Return the record as of `epoch` (never before `last_epoch`): evidence decayed, score recomputed."""
    if record.last_epoch == 0 or epoch == record.last_epoch:
        return record
    elapsed = epoch - record.last_epoch
    aged = replace(
        record,
        good=decay(record.good, elapsed, HalfLife.GOOD),
        bad=decay(record.bad, elapsed, HalfLife.BAD),
        last_epoch=epoch,
        good_this_epoch=0,
        bad_this_epoch=0,
    )
    return _scored(aged)


def score(record: Record, epoch: int) -> int:
    """Return R' = min(E, tenure cap) as of `epoch`; a newcomer's is a = 0.30."""
    return advance(record, epoch).score


def lower_bound(record: Record, epoch: int) -> int:
    """Return one standard deviation below E, what a cautious customer may count on; candidates are ranked by it.

    With α = r + W·a, β = s + W·(1 − a), n = α + β: min(α/n − ⌈√(αβ / (n²(n + 1)))⌉, tenure cap), at least 0.
    """
    now = advance(record, epoch)
    alpha, beta = now.good + PRIOR_EVIDENCE, now.bad + PRIOR_WEIGHT - PRIOR_EVIDENCE
    total = alpha + beta
    variance = alpha * beta * ONE**3 // (total * total * (total + ONE))
    cautious = expectation(now.good, now.bad) - isqrt(variance) - 1
    return max(0, min(cautious, tenure_cap(now.last_epoch - now.born_epoch if now.last_epoch else 0)))


def settle_evidence(observation: int) -> Evidence:
    """Return g = m, b = 3(1 − m) for what the management system observed, m in percent."""
    return Evidence(good=observation * PERCENT, bad=3 * (100 - observation) * PERCENT)


def feedback_evidence(rating: int, credibility: int) -> Evidence:
    """Return g = c·max(0, 2f − 1)/4, b = 3c·max(0, 1 − 2f)/4 for the customer's rating, f in percent."""
    if rating >= 50:
        return Evidence(good=credibility * (2 * rating - 100) // 400)
    return Evidence(bad=3 * credibility * (100 - 2 * rating) // 400)


def apply_observation(record: Record, epoch: int, observation: int) -> Record:
    """Return the record after a settlement that observed m = `observation` percent."""
    return _add_within_epoch(_alive(record, epoch), settle_evidence(observation))


def apply_feedback(record: Record, epoch: int, rating: int, credibility: int) -> Record:
    """Return the record after a rating of f = `rating` percent.

    `credibility` is the customer's before this feedback moves it.
    """
    return _add_within_epoch(_alive(record, epoch), feedback_evidence(rating, credibility))


def apply_penalty(record: Record, epoch: int, severity: Severity) -> Record:
    """Return the record after an upheld claim: σ of bad evidence, beside the limit of the epoch."""
    alive = _alive(record, epoch)
    return _scored(replace(alive, bad=min(EVIDENCE_CAP, alive.bad + PENALTIES[severity])))


def take_back(record: Record, epoch: int, added: int, added_epoch: int) -> Record:
    """Return the record after a reversal: what is left of `added`, bad evidence of a penalty of `added_epoch`, goes.

    In the same epoch the penalty is undone to the last bit; later, bad evidence is within 3 units of what it were
    had the penalty never been. A record that only the penalty began is a newcomer's again; so is one that was renewed
    in that epoch and held nothing else, whose tenure then begins with its next observation.
    """
    if record.last_epoch == 0:
        return record
    now = advance(record, epoch)
    rest = decay(added, epoch - added_epoch, HalfLife.BAD)
    corrected = _scored(replace(now, bad=max(0, now.bad - rest)))
    evidence = (corrected.good, corrected.bad, corrected.good_this_epoch, corrected.bad_this_epoch)
    return Record() if not any(evidence) and corrected.born_epoch == added_epoch else corrected


def renew(record: Record, epoch: int, incarnation: int) -> Record:
    """Return the record of an account that registered again: good evidence and tenure end, bad evidence stays."""
    if record.last_epoch == 0:
        return record
    now = advance(record, epoch)
    return _scored(replace(now, good=0, born_epoch=epoch, incarnation=incarnation % 256))


def as_of(record: Record, epoch: int, incarnation: int) -> Record:
    """Return the record as the contract's views take it: of now, renewed when the account registered again since."""
    if record.incarnation == incarnation % 256:
        return advance(record, epoch)
    return renew(record, epoch, incarnation)


def update_credibility(credibility: int, ratings: Sequence[int], observations: Sequence[int]) -> int:
    """Return (7·c + agree) / 8 with agree = mean(1 − |f − m|).

    Both in percent, one for each rated node, at least one.
    """
    pairs = zip(ratings, observations, strict=True)
    agreement = sum(100 - abs(rating - observed) for rating, observed in pairs)
    return (7 * credibility + agreement * PERCENT // len(ratings)) // 8


def feedback_counts(standing: Standing, week: int) -> bool:
    """Whether one more feedback of this customer still counts in `week`: eight do."""
    return standing.week != week or standing.counted < WEEKLY_FEEDBACKS


def count_feedback(
    standing: Standing, week: int, ratings: Sequence[int], observations: Sequence[int]
) -> Standing:
    """Return the customer's standing after a feedback that counts."""
    counted = standing.counted if standing.week == week else 0
    return Standing(update_credibility(standing.credibility, ratings, observations), week, counted + 1)


def _alive(record: Record, epoch: int) -> Record:
    if record.last_epoch == 0:
        return replace(record, last_epoch=epoch, born_epoch=epoch)
    return advance(record, epoch)


def _add_within_epoch(record: Record, evidence: Evidence) -> Record:
    good = min(evidence.good, EPOCH_CAP - record.good_this_epoch)
    bad = min(evidence.bad, EPOCH_CAP - record.bad_this_epoch)
    return _scored(
        replace(
            record,
            good=min(EVIDENCE_CAP, record.good + good),
            bad=min(EVIDENCE_CAP, record.bad + bad),
            good_this_epoch=record.good_this_epoch + good,
            bad_this_epoch=record.bad_this_epoch + bad,
        )
    )


def _scored(record: Record) -> Record:
    cap = tenure_cap(record.last_epoch - record.born_epoch)
    return replace(record, score=min(expectation(record.good, record.bad), cap))
