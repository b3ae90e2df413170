"""The matrix: who breaks, at which step of a query's life, and how. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import product


class Victim(StrEnum):
    """Who breaks. `LEADER` is the MPC node with the lowest account, `MPC` another one, `TWO_MPCS` two at once."""

    OWNER = "owner"
    LEADER = "leader"
    MPC = "mpc"
    TWO_MPCS = "two-mpcs"
    SPARE = "spare"
    COORDINATOR = "coordinator"
    API = "api"
    RPC = "rpc"
    FOLLOWER = "follower"
    SENDER = "sender"
    RECONCILER = "reconciler"
    CHAIN = "chain"
    POSTGRES = "postgres"

    @property
    def is_agent(self) -> bool:
        """Whether this is a node, for which others may be sought, and no part of the infrastructure."""
        return self in _AGENTS


_AGENTS = (Victim.OWNER, Victim.LEADER, Victim.MPC, Victim.TWO_MPCS, Victim.SPARE)
SERVICES = (Victim.API, Victim.RPC, Victim.FOLLOWER, Victim.SENDER, Victim.RECONCILER)


class State(StrEnum):
    """How far the query is when it happens; `CLEANUP` is right after its completion stands on chain."""

    RESERVED = "reserved"
    DISPATCHED = "dispatched"
    ALIGNING = "aligning"
    SHARING = "sharing"
    TRAINING = "training"
    DELIVERING = "delivering"
    CLEANUP = "cleanup"


class Fault(StrEnum):
    """What happens. `RESTART` is a kill and a start at once, `REORG` is the chain's, all else lasts for a while.

    `CUT` takes a party off the network, `PART` cuts two MPC nodes from each other and from nobody else.

    There are two processes of every service: `KILL` takes one of them, everything else both.
    """

    KILL = "kill"
    STOP = "stop"
    CUT = "cut"
    PART = "part"
    RESTART = "restart"
    REORG = "reorg"


NETWORK_FAULTS = (Fault.CUT, Fault.PART)
PROCESS_FAULTS = (Fault.KILL, Fault.STOP, Fault.CUT, Fault.RESTART)


@dataclass(frozen=True, slots=True)
class Cell:
    """One query and what breaks in it. `postgres`: the coordinator's services are processes over PostgreSQL."""

    victim: Victim
    state: State
    fault: Fault
    postgres: bool = False

    @property
    def name(self) -> str:
        """How the cell is called in a list, in a pattern and in the matrix."""
        return f"{self.victim}/{self.state}/{self.fault}{'@postgres' if self.postgres else ''}"


def matrix() -> list[Cell]:
    """Return all cells, those over SQLite first, so that each kind of network is built once."""
    return [*_over_sqlite(), *_over_postgres()]


def chosen(patterns: Sequence[str]) -> list[Cell]:
    """Return the cells whose name fits one of the patterns (`mpc/*/kill`); all for no pattern."""
    return [
        cell
        for cell in matrix()
        if not patterns or any(fnmatchcase(cell.name, pattern) for pattern in patterns)
    ]


def _over_sqlite() -> Iterable[Cell]:
    training = (State.TRAINING,)
    ends = (State.DISPATCHED, State.TRAINING, State.DELIVERING)
    yield from _cells((Victim.OWNER, Victim.MPC, Victim.COORDINATOR), State, PROCESS_FAULTS)
    yield from _cells((Victim.LEADER,), State, (Fault.KILL,))
    yield from _cells((Victim.LEADER,), training, (Fault.STOP, Fault.CUT, Fault.RESTART))
    yield from _cells((Victim.MPC,), (State.DISPATCHED, State.TRAINING), (Fault.PART,))
    yield from _cells((Victim.TWO_MPCS,), (State.ALIGNING, State.TRAINING), (Fault.KILL,))
    yield from _cells((Victim.SPARE,), training, (Fault.KILL, Fault.STOP, Fault.CUT))
    yield from _cells((Victim.CHAIN,), ends, PROCESS_FAULTS)
    yield from _cells((Victim.CHAIN,), (*ends, State.CLEANUP), (Fault.REORG,))


def _over_postgres() -> Iterable[Cell]:
    training, delivering = (State.TRAINING,), (State.DELIVERING,)
    for cell in (
        *_cells(SERVICES, training, (Fault.KILL, Fault.STOP)),
        *_cells(SERVICES, delivering, (Fault.RESTART,)),
        *_cells((Victim.RPC, Victim.SENDER, Victim.FOLLOWER), (State.DISPATCHED,), (Fault.KILL,)),
        *_cells((Victim.POSTGRES,), (State.RESERVED, *training, *delivering), (Fault.KILL, Fault.STOP)),
        *_cells((Victim.POSTGRES,), (State.DISPATCHED, State.CLEANUP), (Fault.RESTART, Fault.CUT)),
        *_cells((Victim.COORDINATOR,), training, (Fault.KILL, Fault.STOP)),
        *_cells((Victim.CHAIN,), training, (Fault.RESTART,)),
        *_cells((Victim.CHAIN,), delivering, (Fault.REORG,)),
        *_cells((Victim.MPC, Victim.LEADER), training, (Fault.KILL,)),
        *_cells((Victim.MPC,), (State.ALIGNING,), (Fault.CUT,)),
        *_cells((Victim.OWNER,), training, (Fault.KILL, Fault.RESTART)),
        *_cells((Victim.SPARE,), training, (Fault.KILL,)),
    ):
        yield Cell(cell.victim, cell.state, cell.fault, postgres=True)


def _cells(victims: Iterable[Victim], states: Iterable[State], faults: Iterable[Fault]) -> list[Cell]:
    return [Cell(*one) for one in product(victims, states, faults)]
