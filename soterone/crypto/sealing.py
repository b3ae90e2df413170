"""Sealing to a customer's result key with HPKE (RFC 9180), base mode.

A public key and a sealed message both begin with a suite byte. Suite 1 is MLKEM768-X25519 (X-Wing) with
HKDF-SHA256 and AES-256-GCM, so that stored results stay closed to a later quantum computer.
"""

import secrets
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from eth_utils import keccak

SUITE = 1
_HPKE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_MLKEM_SEED, _MLKEM_PUBLIC, _X25519 = 64, 1184, 32


class SealingError(ValueError):
    """A key of an unknown suite or wrong size, or a message that does not open with this key and context."""


@dataclass(frozen=True, slots=True)
class ResultKey:
    """A customer's private result key: an ML-KEM-768 seed (64 bytes) and an X25519 key (32 bytes)."""

    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.seed) != _MLKEM_SEED + _X25519:
            raise SealingError(f"a result key has {_MLKEM_SEED + _X25519} bytes, this one {len(self.seed)}")

    @classmethod
    def new(cls) -> "ResultKey":
        """Return a fresh random key."""
        return cls(secrets.token_bytes(_MLKEM_SEED + _X25519))

    @property
    def public(self) -> bytes:
        """The suite byte, the ML-KEM-768 public key (1184 bytes) and the X25519 one (32 bytes)."""
        mlkem, x25519 = self._parts()
        return bytes([SUITE]) + mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Return the plaintext; SealingError when it was sealed to another key, context, or was changed."""
        if sealed[:1] != bytes([SUITE]):
            raise SealingError("the message was sealed with a suite that this version does not know")
        try:
            return _HPKE.decrypt(sealed[1:], MLKEM768X25519PrivateKey(*self._parts()), info=context)
        except (InvalidTag, ValueError) as error:
            raise SealingError("the message does not open with this key for this query") from error

    def _parts(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        mlkem = MLKEM768PrivateKey.from_seed_bytes(self.seed[:_MLKEM_SEED])
        return mlkem, X25519PrivateKey.from_private_bytes(self.seed[_MLKEM_SEED:])


def seal(public: bytes, plaintext: bytes, context: bytes) -> bytes:
    """Seal to a public result key; only `ResultKey.open` with the same context opens it."""
    return bytes([SUITE]) + _HPKE.encrypt(plaintext, _load_public(public), info=context)


def check_public(public: bytes) -> None:
    """Raise SealingError when bytes are not a public result key of a known suite."""
    _load_public(public)


def result_key_hash(public: bytes) -> bytes:
    """Return keccak256 of a public result key: `resultKeyHash` of the order."""
    return keccak(public)


def share_context(query_id: bytes, generation: int, rank: int) -> bytes:
    """Return the HPKE info that binds a sealed share to its query (32 bytes), generation and rank."""
    return b"SoterOne result share v1" + query_id + bytes([generation, rank])


def _load_public(public: bytes) -> MLKEM768X25519PublicKey:
    if len(public) != 1 + _MLKEM_PUBLIC + _X25519 or public[0] != SUITE:
        raise SealingError("this is not a result key of a suite that this version knows")
    try:
        mlkem = MLKEM768PublicKey.from_public_bytes(public[1 : 1 + _MLKEM_PUBLIC])
        return MLKEM768X25519PublicKey(mlkem, X25519PublicKey.from_public_bytes(public[-_X25519:]))
    except ValueError as error:
        raise SealingError("the result key is damaged") from error
