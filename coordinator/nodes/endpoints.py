"""Where a node says that its peers reach it. The coordinator never dials it, and refuses what nobody should dial."""

from coordinator.nodes.errors import BadRegistration
from soterone.domain.endpoints import why_unreachable


def check_endpoint(endpoint: str, coordinator_host: str) -> None:
    """BadRegistration for a port out of range or an address that is no other party's.

    Loopback is allowed where the coordinator itself is known by a loopback address: a network on one machine.
    """
    complaint = why_unreachable(endpoint, coordinator_host)
    if complaint is not None:
        raise BadRegistration(complaint)
