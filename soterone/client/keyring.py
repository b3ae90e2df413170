"""The customer's result keys: random, one a query, wrapped so that only its wallet unwraps them; and its orders."""

import os
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from eth_utils import keccak

from soterone.client.errors import ClientError
from soterone.client.orders import to_order
from soterone.crypto.accounts import Wallet
from soterone.crypto.files import write_private
from soterone.crypto.messages import QueryOrder
from soterone.crypto.sealing import ResultKey
from soterone.domain.ids import QueryId
from soterone.rest.queries import OrderBody

_WRAPPING = b"SoterOne result keyring v1"


class Keyring:
    """A folder with one wrapped key a query. The wrapping key comes from a deterministic signature (RFC 6979)."""

    def __init__(self, folder: Path, wallet: Wallet) -> None:
        self._folder = folder
        self._wallet = wallet

    @cached_property
    def _wrapping(self) -> AESGCM:
        secret = self._wallet.sign(keccak(_WRAPPING))
        return AESGCM(HKDF(SHA256(), 32, salt=None, info=_WRAPPING).derive(secret))

    def keep(self, query_id: QueryId, key: ResultKey, order: OrderBody) -> None:
        """Keep a query's key and order, durably, before the order is signed."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        nonce = os.urandom(12)
        wrapped = nonce + self._wrapping.encrypt(nonce, key.seed, query_id.encode())
        write_private(self._path(query_id), wrapped)
        write_private(self._path(query_id).with_suffix(".order.json"), order.model_dump_json().encode())

    def order(self, query_id: QueryId) -> QueryOrder:
        """Return the order as it was signed; ClientError when it is not here."""
        try:
            content = self._path(query_id).with_suffix(".order.json").read_bytes()
        except FileNotFoundError as error:
            raise _elsewhere(query_id, self._folder) from error
        return to_order(OrderBody.model_validate_json(content))

    def find(self, query_id: QueryId) -> ResultKey:
        """Return a query's key; ClientError when it is not here or belongs to another account."""
        try:
            wrapped = self._path(query_id).read_bytes()
        except FileNotFoundError as error:
            raise _elsewhere(query_id, self._folder) from error
        try:
            return ResultKey(self._wrapping.decrypt(wrapped[:12], wrapped[12:], query_id.encode()))
        except InvalidTag as error:
            raise ClientError(f"the result key of query {query_id} belongs to another account") from error

    def _path(self, query_id: QueryId) -> Path:
        return self._folder / f"{query_id[2:]}.key"


def _elsewhere(query_id: QueryId, folder: Path) -> ClientError:
    return ClientError(
        f"query {query_id} was not ordered from {folder}: open its result where you ordered it"
    )
