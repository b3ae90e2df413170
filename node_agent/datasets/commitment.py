"""Binds an owner to the rows of a dataset: a signed root at `dataset add`, single rows opened in a dispute."""

import json
import secrets
from dataclasses import asdict, replace
from typing import Any

from eth_utils.crypto import keccak

from node_agent.datasets.inspection import DatasetError, ask_child
from node_agent.store.datasets import StoredDataset
from soterone.crypto.accounts import Wallet
from soterone.crypto.messages import DatasetCommitment, Domain, SignatureError, recover, sign
from soterone.domain.commitments import SALT_BYTES, Opening
from soterone.domain.ids import Account
from soterone.domain.metadata import RowsCommitment


def committed(dataset: StoredDataset, signer: Wallet, registry: Domain) -> StoredDataset:
    """Return the dataset bound to its rows as they are now: a signed root in the metadata, its salt kept here.

    An earlier try keeps its salt, so that trying again binds to the same root.
    """
    salt = dataset.salt or secrets.token_bytes(SALT_BYTES)
    root = bytes.fromhex(_ask(dataset, salt)["root"])
    signature = sign(signer, registry, commitment_message(dataset.id, root))
    bound = RowsCommitment(root=f"0x{root.hex()}", signature=f"0x{signature.hex()}")
    return replace(dataset, metadata=dataset.metadata.model_copy(update={"commitment": bound}), salt=salt)


def open_committed(dataset: StoredDataset, place: int) -> Opening:
    """Open a row, by its place from 1 on in the order of the key, or with 0 the header; DatasetError when it no longer
    stands under the root: the table has changed since it was added."""
    bound = dataset.metadata.commitment
    if bound is None:
        raise DatasetError("this dataset was added without a commitment to its rows; add it anew")
    opening = read_opening(_ask(dataset, dataset.salt, place)["opening"])
    if f"0x{opening.root().hex()}" != bound.root:
        raise DatasetError("the table has changed since it was added: its rows do not open any more")
    return opening


def read_opening(document: dict[str, Any]) -> Opening:
    """Read an opening from JSON; ValueError, TypeError or KeyError when it is none."""
    return Opening(
        int(document["place"]),
        int(document["leaves"]),
        bytes.fromhex(document["salt"]),
        tuple(document["values"]),
        tuple(bytes.fromhex(one) for one in document["path"]),
    )


def commitment_message(dataset: str, root: bytes) -> DatasetCommitment:
    """Return what an owner signs of a dataset's root."""
    return DatasetCommitment(keccak(text=dataset), root)


def is_bound(owner: Account, registry: Domain, dataset: str, root: bytes, signature: bytes) -> bool:
    """Say whether an owner signed that this is the dataset's root."""
    if len(root) != 32:
        return False
    try:
        return recover(registry, commitment_message(dataset, root), signature) == owner
    except SignatureError:
        return False


def _ask(dataset: StoredDataset, salt: bytes, place: int | None = None) -> dict[str, Any]:
    keys = [column.name for column in dataset.metadata.columns if column.kind == "key"]
    question = {
        "source": asdict(dataset.source),
        "key": dataset.columns[keys[0]],
        "columns": list(dataset.columns.values()),
        "salt": salt.hex(),
        "place": place,
    }
    return ask_child("node_agent.datasets.rows", json.dumps(question))
