"""Random questions for the arithmetic of reputation and for the drawing of panels, the edges as often as the middle.

The differential tests ask them of Solidity and of Python, and the mutants of what must answer as the original does.
"""

from __future__ import annotations

import random
from dataclasses import replace

from soterone.domain import reputation as rep
from soterone.domain.panels import MOST_MEMBERS, MOST_SEATS
from soterone.domain.reputation import ONE, Record

WIDTHS = (40, 40, 32, 32, 32, 32, 32, 8, 8)
OBSERVATION, FEEDBACK, PENALTY, RENEWAL, ADVANCE, REVERSAL = range(6)
DECAY_VALUES = (1, 2, ONE - 1, ONE, 137 * ONE + 13, rep.EVIDENCE_CAP)
DECAY_AGES = (*range(0, 4_200, 13), *(1 << bit for bit in range(13)), 4_095)

Update = tuple[Record, int, int, int, int, int, int]
"""Record, kind, epoch, argument, credibility, and what a reversed penalty added in which epoch."""
Draw = tuple[bytes, int, int, int]
"""Seed, seats, size, and the seats taken."""


def pack(record: Record) -> int:
    """The record's word in the ledger's storage."""
    if record.last_epoch == 0:
        return 0
    word = 0
    fields = (
        record.good,
        record.bad,
        record.last_epoch,
        record.born_epoch,
        record.score,
        record.good_this_epoch,
        record.bad_this_epoch,
        record.incarnation,
        record.flags,
    )
    for value, width in zip(fields, WIDTHS, strict=True):
        word = word << width | value
    return word


def update(rng: random.Random) -> Update:
    """A record and what happens to it; its score is the one that the ledger would have written.

    An advance of nothing keeps the stored score in the mirror and recomputes it on chain: both are then the same.
    """
    record, kind = _record(rng), rng.randrange(6)
    elapsed = rng.choice((0, 0, 1, rng.randint(2, 31), rng.randint(0, 5_000)))
    argument = {PENALTY: rng.randint(1, 3), RENEWAL: rng.randint(0, 255)}.get(
        kind, rng.choice((0, 49, 50, 51, 100, rng.randint(0, 100)))
    )
    epoch = (record.last_epoch or 20_000) + elapsed
    added, added_epoch = _amount(rng, rep.EVIDENCE_CAP), epoch - rng.choice((0, 1, rng.randint(0, 5_000)))
    if kind == REVERSAL and record.last_epoch and rng.random() < 0.5:
        added_epoch = record.born_epoch
        left = rng.choice((0, 0, 1))
        record = replace(record, good=left, bad=added, good_this_epoch=left, bad_this_epoch=0)
    return _consistent(record), kind, epoch, argument, _amount(rng, ONE), added, added_epoch


def draw(rng: random.Random) -> Draw:
    """Any panel that fits beside the seats taken; the fewest seats as often as any number."""
    size = rng.randint(1, MOST_MEMBERS)
    taken = rng.choice((0, 1, 2, size, size + 2))
    seats = rng.choice((size + taken, 2 * size + 2, MOST_SEATS, rng.randint(2 * size + 2, MOST_SEATS)))
    chosen = sum(1 << seat for seat in rng.sample(range(seats), taken))
    return rng.randbytes(32), seats, size, chosen


def _amount(rng: random.Random, highest: int) -> int:
    return rng.choice(
        (0, highest, rng.randint(0, highest), rng.randint(0, 1_000), highest - rng.randint(0, 9))
    )


def _record(rng: random.Random) -> Record:
    """Any record that fits the slot's invariants, the impossible but harmless ones too."""
    if rng.random() < 0.05:
        return Record()
    born = rng.randint(1, 2**32 - 10_000)
    return Record(
        good=_amount(rng, rep.EVIDENCE_CAP),
        bad=_amount(rng, rep.EVIDENCE_CAP),
        last_epoch=born + rng.choice((0, 1, 59, 60, 61, rng.randint(0, 400))),
        born_epoch=born,
        score=rng.randint(0, ONE),
        good_this_epoch=_amount(rng, rep.EPOCH_CAP),
        bad_this_epoch=_amount(rng, rep.EPOCH_CAP),
        incarnation=rng.randint(0, 255),
        flags=rng.randint(0, 255),
    )


def _consistent(record: Record) -> Record:
    if record.last_epoch == 0:
        return record
    cap = rep.tenure_cap(record.last_epoch - record.born_epoch)
    return replace(record, score=min(rep.expectation(record.good, record.bad), cap))
