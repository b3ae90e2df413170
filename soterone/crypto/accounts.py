"""Ethereum accounts that sign for a party, and the encrypted keystore files that they rest in."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from eth_account import Account as EthAccount
from eth_keys.datatypes import PrivateKey
from eth_utils.address import to_checksum_address

from soterone.crypto.files import write_private
from soterone.domain.ids import Account

# py_ecc, which eth-account brings along, raises this limit to 100,000 when it is imported; with that, deeply nested
# JSON from anybody overflows the interpreter's stack instead of being refused.
sys.setrecursionlimit(1_000)


class KeystoreError(Exception):
    """A keystore that cannot be made or opened; the text says what to do."""


class Wallet(Protocol):
    """Whoever signs for an account: a key in memory, a locked keystore, a device."""

    @property
    def account(self) -> Account:
        """The account that signatures are of."""

    def sign(self, digest: bytes) -> bytes:
        """Sign a 32-byte digest: 65 bytes r, s, v with low s and v 27 or 28 (EIP-2)."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key in memory and the account it speaks for; never shown by `repr`."""

    account: Account
    _key: PrivateKey = field(repr=False)

    @classmethod
    def from_key(cls, key: str | bytes) -> "Signer":
        """Return the signer of a 32-byte private key, given raw or as hexadecimal text."""
        raw = bytes.fromhex(key.strip().removeprefix("0x")) if isinstance(key, str) else key
        private = PrivateKey(raw)
        return cls(Account(private.public_key.to_checksum_address()), private)

    @classmethod
    def new(cls) -> "Signer":
        """Return a signer with a fresh key from the operating system's generator."""
        return cls.from_key(bytes(EthAccount.create().key))

    def sign(self, digest: bytes) -> bytes:
        """Sign a 32-byte digest: 65 bytes r, s, v with low s and v 27 or 28 (EIP-2)."""
        signature = self._key.sign_msg_hash(digest).to_bytes()
        return signature[:64] + bytes([signature[64] + 27])

    def private_key(self) -> bytes:
        """Return the raw 32-byte key, for the one who signs transactions with it."""
        return self._key.to_bytes()


def account(value: str | bytes) -> Account:
    """Return an address in its one textual form (EIP-55); ValueError when it is none."""
    return Account(to_checksum_address(value))


def account_bytes(value: str) -> bytes:
    """Return the 20 bytes of an account."""
    return bytes.fromhex(value[2:])


def create_keystore(path: Path, password: str) -> Signer:
    """Make a new account and keep its key at `path` (Web3 secret storage v3, mode 0600); refuses to overwrite."""
    signer = Signer.new()
    save_keystore(path, password, signer)
    return signer


def save_keystore(path: Path, password: str, signer: Signer) -> None:
    """Keep a signer's key at `path`, encrypted with the password; KeystoreError when the file exists."""
    document = json.dumps(EthAccount.encrypt(signer.private_key(), password))
    try:
        write_private(path, document.encode())
    except FileExistsError as error:
        raise KeystoreError(f"{path} already exists; move it away or choose another folder") from error


def open_keystore(path: Path, password: str) -> Signer:
    """Return the signer kept at `path`; KeystoreError when it is missing, damaged or the password is wrong."""
    try:
        return Signer.from_key(bytes(EthAccount.decrypt(path.read_text(), password)))
    except FileNotFoundError as error:
        raise KeystoreError(f"there is no keystore at {path}; run init first") from error
    except (ValueError, KeyError, TypeError) as error:
        raise KeystoreError(f"the keystore {path} does not open: wrong password or damaged file") from error


def account_of_keystore(path: Path) -> Account:
    """Return whose key a keystore holds, without opening it; KeystoreError when it is missing or damaged."""
    try:
        return account("0x" + str(json.loads(path.read_text())["address"]).removeprefix("0x"))
    except FileNotFoundError as error:
        raise KeystoreError(f"there is no keystore at {path}; run init first") from error
    except (ValueError, KeyError, TypeError) as error:
        raise KeystoreError(f"{path} is not a keystore") from error
