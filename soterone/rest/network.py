"""What a newcomer must know of a network before it can talk to it: `GET /v1/network`, public."""

from soterone.rest.base import AccountText, Body


class NetworkDescription(Body):
    """Addresses and constants of one network. Trust the contracts only when you know them from elsewhere."""

    version: str
    chain_id: int
    start_block: int
    contracts: dict[str, AccountText]
    enrolment_address: str
    agents_address: str
    ca_pem: str
    heartbeat_interval_seconds: float
    heartbeat_patience: int
