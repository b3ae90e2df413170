"""What a query needs of a node, estimated from its masked metadata. Pure; on the safe side."""

from collections.abc import Iterable
from dataclasses import dataclass

from soterone.domain.detection import Measurement
from soterone.domain.metadata import DatasetMetadata
from soterone.domain.profiles import NodeProfile, reference_cores

_MIB = 2**20
_ENGINE_BYTES = 256 * _MIB
_WORKSPACE_BYTES = 16 * _MIB
_CELL_BYTES = 8
_MEMORY_COPIES = 16
_DISK_COPIES = 6


@dataclass(frozen=True, slots=True)
class Demand:
    """A part of a node: whole reference cores, resident memory, workspace on disk."""

    cpu_cores: int
    memory_bytes: int
    disk_bytes: int


def declared_capacity(profile: NodeProfile) -> Demand:
    """Return what a node says that it has to give."""
    cores = reference_cores(profile.cpu_cores, profile.speed)
    return Demand(cores, profile.memory_bytes, profile.disk_bytes)


def verified_capacity(profile: NodeProfile, measured: Measurement | None) -> Demand:
    """Return what a node may be promised to give: never more than it declared, nor than detectors found."""
    declared = declared_capacity(profile)
    if measured is None:
        return declared
    cores = min(declared.cpu_cores, reference_cores(measured.cores, measured.speed))
    return Demand(cores, min(declared.memory_bytes, measured.memory_bytes), declared.disk_bytes)


def owner_demand(dataset: DatasetMetadata) -> Demand:
    """Return what aligning and sharing one table takes at its owner."""
    return _demand(dataset.rows_below * len(dataset.columns))


def mpc_demand(datasets: Iterable[DatasetMetadata]) -> Demand:
    """Return what training on the joined table takes at each MPC node; at most the smallest table's rows join."""
    tables = list(datasets)
    rows = min(table.rows_below for table in tables)
    return _demand(rows * sum(len(table.columns) for table in tables))


def _demand(cells: int) -> Demand:
    return Demand(
        cpu_cores=1,
        memory_bytes=_ENGINE_BYTES + cells * _CELL_BYTES * _MEMORY_COPIES,
        disk_bytes=_WORKSPACE_BYTES + cells * _CELL_BYTES * _DISK_COPIES,
    )
