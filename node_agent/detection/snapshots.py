"""What a node says of its load and memory, held against itself and its profile. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from node_agent.detection.plan import Declared
from node_agent.detection.verdict import ROUNDS, Opinion, Round

CONTRADICTION = 4.0
"""Loads that differ less may both be true: one is of a moment, the other of a minute."""

_MIB = 2**20
_MEMORY_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A heartbeat's snapshot as the node shows it to a detector."""

    load_1min: float
    memory_total_bytes: int


@dataclass(frozen=True, slots=True)
class SnapshotVerdict:
    """An opinion and its reason in one sentence."""

    opinion: Opinion
    sentence: str


def judge_snapshots(
    declared: Declared, rounds: Sequence[Round], snapshots: Sequence[Snapshot], failed: int = 0
) -> SnapshotVerdict:
    """Judge what a node told; FALSE only when every run of every round contradicts every snapshot. `failed` as for
    `judge_profile`.

    A load that is told to detectors alone excuses slowness at no price: heartbeats must tell of it, too, where it
    keeps work away.
    """
    if not rounds or len(rounds) + failed < ROUNDS or not snapshots:
        return SnapshotVerdict(Opinion.UNDECIDED, f"{len(rounds)} of {ROUNDS} rounds are done.")
    told_mib = max(one.memory_total_bytes for one in snapshots) // _MIB
    if told_mib < declared.memory_mib * _MEMORY_SHARE:
        said = f"Its heartbeats tell of {told_mib} MiB and its profile of {declared.memory_mib}."
        return SnapshotVerdict(Opinion.FALSE, said)
    loads = [pair.load for one in rounds for pair in one.pairs]
    least = min(loads, default=0.0)
    most = max(one.load_1min for one in snapshots)
    said = f"It told detectors of a load of {least:.1f} at least, its heartbeats of {most:.1f} at most."
    contradicted = least >= declared.lanes and least > CONTRADICTION * (most + 1)
    return SnapshotVerdict(Opinion.FALSE if contradicted else Opinion.TRUE, said)
