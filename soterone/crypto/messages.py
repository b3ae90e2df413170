"""The EIP-712 messages of SoterOne: what each says, how it is hashed, signed and recovered.

Each dataclass is one struct of the contracts; its fields stand in the struct's order.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from eth_abi import encode
from eth_account.messages import SignableMessage, encode_typed_data
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature, ValidationError
from eth_utils import keccak

from soterone.crypto.accounts import Wallet
from soterone.domain.detection import Verdict
from soterone.domain.ids import Account, QueryId, hash_bytes, query_id

_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


class SignatureError(ValueError):
    """A signature that no honest wallet makes: wrong length, high s, or a bad recovery byte."""


@dataclass(frozen=True, slots=True)
class Domain:
    """The EIP-712 domain of one contract on one chain."""

    chain_id: int
    contract: Account


@dataclass(frozen=True, slots=True)
class Message:
    """The root of all messages; `solidity` gives the type of each field in order."""

    solidity: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True)
class Registration(Message):
    """A node's account binds operator, roles, version, TLS key and profile. For `NodeRegistry`."""

    solidity = ("address", "address", "uint8", "uint32", "bytes32", "bytes32", "uint32", "uint64")
    node: Account
    operator: Account
    roles: int
    version: int
    tls_key_hash: bytes
    profile_hash: bytes
    incarnation: int
    deadline: int


@dataclass(frozen=True, slots=True)
class NodeUpdate(Message):
    """A node changes what it declared. For `NodeRegistry`."""

    solidity = ("address", "uint8", "uint32", "bytes32", "bytes32", "uint32", "uint32", "uint64")
    node: Account
    roles: int
    version: int
    tls_key_hash: bytes
    profile_hash: bytes
    profile_version: int
    incarnation: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Unregistration(Message):
    """A node leaves. For `NodeRegistry`."""

    solidity = ("address", "uint32", "uint64")
    node: Account
    incarnation: int
    deadline: int


@dataclass(frozen=True, slots=True)
class QueryOrder(Message):
    """A customer orders exactly this query from exactly these nodes. For `QueryLedger`."""

    solidity = (
        "address", "bytes32", "bytes32", "address[]", "address[]", "bytes32",
        "uint32", "uint32", "uint32", "uint8", "uint64",
    )  # fmt: skip
    customer: Account
    salt: bytes
    spec_hash: bytes
    owners: tuple[Account, ...]
    mpcs: tuple[Account, ...]
    result_key_hash: bytes
    max_run_seconds: int
    result_retry_seconds: int
    cleanup_grace_seconds: int
    max_replacements: int
    deadline: int


@dataclass(frozen=True, slots=True)
class LossReport(Message):
    """A survivor or owner says that an MPC node is gone. For `QueryLedger`."""

    solidity = ("bytes32", "uint8", "address", "uint64")
    query_id: bytes
    generation: int
    lost: Account
    deadline: int


@dataclass(frozen=True, slots=True)
class ResultShare(Message):
    """A node vouches for the sealed share it delivered. Checked off chain, in `QueryLedger`'s domain."""

    solidity = ("bytes32", "uint8", "uint8", "bytes32")
    query_id: bytes
    generation: int
    rank: int
    share_hash: bytes


@dataclass(frozen=True, slots=True)
class Cancellation(Message):
    """A customer takes its order back. For `QueryLedger`."""

    solidity = ("bytes32", "uint64")
    query_id: bytes
    deadline: int


@dataclass(frozen=True, slots=True)
class CleanupDone(Message):
    """A node promises that nothing of a query is left with it. Checked off chain, in `QueryLedger`'s domain."""

    solidity = ("bytes32", "uint64")
    query_id: bytes
    deadline: int


@dataclass(frozen=True, slots=True)
class Feedback(Message):
    """A customer rates nodes of its query, in percent. For `ReputationLedger`."""

    solidity = ("bytes32", "address[]", "uint8[]", "uint64")
    query_id: bytes
    nodes: tuple[Account, ...]
    ratings: tuple[int, ...]
    deadline: int


@dataclass(frozen=True, slots=True)
class Vote(Message):
    """A detector of the panel accuses a node. For `DetectorQuorum`; the last three are zero unless `kind` is 2."""

    solidity = (
        "address", "address", "uint64", "uint8", "uint8", "bytes32", "uint32", "uint32", "uint32",
    )  # fmt: skip
    node: Account
    operator: Account
    epoch: int
    kind: int
    severity: int
    evidence_hash: bytes
    cores: int = 0
    memory_mib: int = 0
    speed: int = 0

    @classmethod
    def of(cls, verdict: Verdict) -> Self:
        """Return the vote that says what a verdict says."""
        accused, measured = verdict.accusation, verdict.measured
        return cls(
            accused.node,
            accused.operator,
            accused.epoch,
            int(accused.kind),
            int(accused.severity),
            hash_bytes(verdict.evidence_hash),
            measured.cores,
            measured.memory_mib,
            measured.speed,
        )


@dataclass(frozen=True, slots=True)
class Reversal(Message):
    """A detector of an appeal's panel would take the claim back. For `DetectorQuorum`."""

    solidity = ("bytes32", "uint64", "bytes32")
    claim_id: bytes
    epoch: int
    evidence_hash: bytes


@dataclass(frozen=True, slots=True)
class Appeal(Message):
    """The accused or its operator contests a claim. For `DetectorQuorum`."""

    solidity = ("bytes32", "bytes32", "uint64")
    claim_id: bytes
    counter_evidence_hash: bytes
    deadline: int


@dataclass(frozen=True, slots=True)
class DatasetCommitment(Message):
    """A data owner binds itself to a dataset's rows; `dataset` is keccak256 of the id. Checked off chain, in
    `NodeRegistry`'s domain."""

    solidity = ("bytes32", "bytes32")
    dataset: bytes
    root: bytes


def digest(domain: Domain, message: Message) -> bytes:
    """Return the 32 bytes that are signed (EIP-712)."""
    signable = _signable(domain, message)
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


def sign(signer: Wallet, domain: Domain, message: Message) -> bytes:
    """Return the signer's 65-byte signature of a message."""
    return signer.sign(digest(domain, message))


def recover(domain: Domain, message: Message, signature: bytes) -> Account:
    """Return the account that signed; SignatureError for anything but a canonical 65-byte signature."""
    return recover_digest(digest(domain, message), signature)


def recover_digest(message_digest: bytes, signature: bytes) -> Account:
    """Return the account that signed a 32-byte digest; high s and 64-byte forms are refused (EIP-2)."""
    if len(signature) != 65:
        raise SignatureError(f"a signature has 65 bytes, this one {len(signature)}")
    r, s, v = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64]), signature[64]
    if v not in (27, 28) or not 0 < s <= _HALF_ORDER:
        raise SignatureError("the signature is not in its canonical form")
    try:
        public = Signature(vrs=(v - 27, r, s)).recover_public_key_from_msg_hash(message_digest)
    except (BadSignature, ValidationError) as error:
        raise SignatureError("the signature belongs to no key") from error
    return Account(public.to_checksum_address())


def query_id_of(ledger: Domain, customer: Account, salt: bytes) -> QueryId:
    """Return keccak256(abi.encode(chainId, QueryLedger, customer, salt)); the domain is `QueryLedger`'s."""
    types = ["uint256", "address", "address", "bytes32"]
    return query_id(keccak(encode(types, [ledger.chain_id, ledger.contract, customer, salt])))


def typed_data(domain: Domain, message: Message) -> dict[str, Any]:
    """Return the complete EIP-712 document, as wallets take it in `eth_signTypedData_v4`."""
    name = type(message).__name__
    names = [_camel(field.name) for field in fields(message)]
    values = [getattr(message, field.name) for field in fields(message)]
    return {
        "types": {
            "EIP712Domain": _DOMAIN_TYPE,
            name: [{"name": n, "type": t} for n, t in zip(names, message.solidity, strict=True)],
        },
        "primaryType": name,
        "domain": {
            "name": "SoterOne",
            "version": "1",
            "chainId": domain.chain_id,
            "verifyingContract": domain.contract,
        },
        "message": {n: list(v) if isinstance(v, tuple) else v for n, v in zip(names, values, strict=True)},
    }


_DOMAIN_TYPE = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]


def _signable(domain: Domain, message: Message) -> SignableMessage:
    return encode_typed_data(full_message=typed_data(domain, message))


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)
