"""Where a node says that its peers reach it. The coordinator never dials it, and refuses what nobody should dial."""

from ipaddress import IPv4Address, IPv6Address, ip_address

from coordinator.nodes.errors import BadRegistration


def check_endpoint(endpoint: str, coordinator_host: str) -> None:
    """BadRegistration for a port out of range or an address that is no other party's.

    Loopback is allowed where the coordinator itself is known by a loopback address: a network on one machine.
    """
    host, _, port = endpoint.rpartition(":")
    if not 1 <= int(port) <= 65535:
        raise BadRegistration(f"the endpoint {endpoint} has no port between 1 and 65535")
    address = _address(host.strip("[]"))
    if address is None:
        if _is_local(host) and not _is_local(coordinator_host):
            raise BadRegistration(
                f"the endpoint {endpoint} is this machine's own name; name one peers can reach"
            )
        return
    if address.is_unspecified or address.is_multicast or address.is_link_local or address.is_reserved:
        raise BadRegistration(f"the endpoint {endpoint} is no address that peers can reach")
    if address.is_loopback and not _is_local(coordinator_host):
        raise BadRegistration(f"the endpoint {endpoint} is a loopback address; name one that peers can reach")


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_local(host: str) -> bool:
    address = _address(host)
    if address is not None:
        return address.is_loopback
    return host.lower().rstrip(".").split(".")[-1] == "localhost"
