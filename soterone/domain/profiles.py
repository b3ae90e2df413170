"""What a node declares of itself. Only its hash stands on chain."""

import hashlib
from math import ceil
from typing import Annotated, Final

import rfc8785
from eth_utils.crypto import keccak
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from soterone.domain.ids import Hash32, hash32, hash_bytes

Endpoint = Annotated[str, StringConstraints(pattern=r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]{1,253}):[0-9]{1,5}$")]

REFERENCE_CORE_SPEED: Final = 16_000
"""What one core of a server of 2023 does: the core in which capacity is counted, and held against who declares none."""


def reference_cores(cores: int, speed: int) -> int:
    """Return how many reference cores do the work of these at most; a faster core counts as one, and any node has one.

    So who declares slow cores, or shows them to detectors, is planned with for that much less.
    """
    return max(1, ceil(cores * min(speed, REFERENCE_CORE_SPEED) / REFERENCE_CORE_SPEED))


def commitment_of(tls_key_hash: Hash32, profile_hash: Hash32, profile_version: int) -> Hash32:
    """Return what the NodeRegistry keeps of a node's key and profile:
    keccak256(abi.encode(tlsKeyHash, profileHash, profileVersion))."""
    return hash32(keccak(hash_bytes(tls_key_hash) + hash_bytes(profile_hash) + profile_version.to_bytes(32)))


class NodeProfile(BaseModel):
    """Name, reach and resources of a node, as declared. `core_speed`: thousandths of the detectors' yardstick task that
    one core does a second; None is taken as `REFERENCE_CORE_SPEED`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$")]
    endpoint: Endpoint
    cpu_cores: int = Field(ge=1, le=4096)
    memory_bytes: int = Field(ge=1, lt=2**53)
    disk_bytes: int = Field(ge=0, lt=2**53)
    core_speed: int | None = Field(None, ge=1, lt=2**31)
    engines: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")], ...] = ()

    @property
    def speed(self) -> int:
        """What one core is taken to do, in the units of `core_speed`."""
        return self.core_speed or REFERENCE_CORE_SPEED

    def canonical(self) -> bytes:
        """Return the profile as canonical JSON (RFC 8785)."""
        return rfc8785.dumps(self.model_dump(mode="json"))

    @property
    def hash(self) -> Hash32:
        """SHA-256 of the canonical JSON: `profileHash` on chain."""
        return hash32(hashlib.sha256(self.canonical()).digest())
