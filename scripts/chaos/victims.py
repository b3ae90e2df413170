"""Which parties of a network a cell breaks, by their names."""

from __future__ import annotations

from scripts.chaos.cells import Cell, Fault, Victim
from scripts.chaos.ground import Ground
from soterone.crypto.messages import QueryOrder


def parties(ground: Ground, cell: Cell, order: QueryOrder) -> list[str]:
    """Return who breaks: nodes by their place in the order, services by how many of the two the fault takes."""
    match cell.victim:
        case Victim.OWNER:
            return [ground.name_of(order.owners[0])]
        case Victim.LEADER:
            return [ground.name_of(order.mpcs[0])]
        case Victim.MPC if cell.fault is not Fault.PART:
            return [ground.name_of(order.mpcs[1])]
        case Victim.MPC | Victim.TWO_MPCS:
            return [ground.name_of(node) for node in order.mpcs[1:]]
        case Victim.SPARE:
            return [_spare(ground, order)]
        case Victim.COORDINATOR if ground.postgres and cell.fault is not Fault.CUT:
            return list(ground.network.services)
        case Victim.SENDER if cell.fault is Fault.KILL:
            return [ground.leading_sender()]
        case Victim.API | Victim.RPC | Victim.FOLLOWER | Victim.SENDER | Victim.RECONCILER:
            return [f"{cell.victim}-{number}" for number in ((1,) if cell.fault is Fault.KILL else (1, 2))]
        case _:
            return [cell.victim.value]


def _spare(ground: Ground, order: QueryOrder) -> str:
    agents = ground.network.agents.items()
    return next(name for name, agent in agents if agent.role == "mpc" and agent.account not in order.mpcs)
