"""What agents ask of the node manager, parsed."""

from dataclasses import dataclass

from soterone.crypto.messages import Registration, Unregistration
from soterone.domain.profiles import NodeProfile


@dataclass(frozen=True, slots=True)
class RegistrationRequest:
    """A registration as it goes on chain, with what stands behind its hashes."""

    message: Registration
    signature: bytes
    operator_signature: bytes
    certificate_request_der: bytes
    profile: NodeProfile


@dataclass(frozen=True, slots=True)
class Registered:
    """A node's certificate; `transaction_hash` is empty when the registration stood on chain already."""

    certificate_pem: bytes
    ca_pem: bytes
    transaction_hash: bytes


@dataclass(frozen=True, slots=True)
class UnregistrationRequest:
    """The signed end of an incarnation."""

    message: Unregistration
    signature: bytes
