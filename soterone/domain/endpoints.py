"""Where a party says that others reach it, and what nobody should dial. Pure: no name is resolved."""

from ipaddress import IPv4Address, IPv6Address, ip_address


def host_of(endpoint: str) -> str:
    """Return the host of `host:port`, an IPv6 address without its brackets."""
    return endpoint.rpartition(":")[0].strip("[]")


def why_unreachable(endpoint: str, own_host: str) -> str | None:
    """Return why a party known as `own_host` should not dial an endpoint, None when it may.

    Loopback may be dialled by those who are themselves known by a loopback address: a network on one machine.
    """
    host, port = host_of(endpoint), endpoint.rpartition(":")[2]
    if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):
        return f"the endpoint {endpoint} has no port between 1 and 65535"
    address = _address(host)
    if address is None:
        if _is_local(host) and not _is_local(own_host):
            return f"the endpoint {endpoint} is this machine's own name; name one peers can reach"
        return None
    if address.is_unspecified or address.is_multicast or address.is_link_local or address.is_reserved:
        return f"the endpoint {endpoint} is no address that peers can reach"
    if address.is_loopback and not _is_local(own_host):
        return f"the endpoint {endpoint} is a loopback address; name one that peers can reach"
    return None


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
