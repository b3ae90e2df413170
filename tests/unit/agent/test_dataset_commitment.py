"""An owner is bound to the rows of its table, and opens single ones."""

from dataclasses import replace
from pathlib import Path

import pytest

from node_agent.datasets.commitment import commitment_message, committed, is_bound, open_committed
from node_agent.datasets.inspection import DatasetError
from node_agent.store.datasets import StoredDataset
from node_agent.tables import TableSource
from soterone.crypto.accounts import Signer, account
from soterone.crypto.messages import Domain, recover
from soterone.domain.ids import DatasetId
from soterone.domain.metadata import ColumnMetadata, DatasetMetadata

REGISTRY = Domain(31337, account(b"\x02" * 20))
ID = DatasetId("2f9cface-7482-45f0-8af6-b9d2d6e2267d")
OWNER = Signer.new()


@pytest.fixture
def dataset(tmp_path: Path) -> StoredDataset:
    table = tmp_path / "table.csv"
    table.write_text("id,age,secret\n03,40,x\n01,,y\n02,50,z\n")
    columns = (ColumnMetadata(name="id", kind="key"), ColumnMetadata(name="masked-2", kind="number"))
    metadata = DatasetMetadata(id=ID, name="rows", rows_at_least=0, rows_below=10, columns=columns)
    source = TableSource("csv", str(table))
    return StoredDataset(source, metadata, {"id": "id", "masked-2": "age"}, published=False)


def test_rows_are_bound_in_the_order_of_the_key(dataset: StoredDataset) -> None:
    bound = committed(dataset, OWNER, REGISTRY)
    assert bound.metadata.commitment is not None
    root = bytes.fromhex(bound.metadata.commitment.root[2:])
    signature = bytes.fromhex(bound.metadata.commitment.signature[2:])
    assert recover(REGISTRY, commitment_message(ID, root), signature) == OWNER.account
    opened = [open_committed(bound, place) for place in range(4)]
    assert [one.values for one in opened] == [("id", "age"), ("01", None), ("02", "50"), ("03", "40")]
    assert {one.root() for one in opened} == {root}
    with pytest.raises(DatasetError, match="rows are 1 to 3"):
        open_committed(bound, 4)


def test_a_second_try_binds_to_the_same_root_and_another_table_to_another(dataset: StoredDataset) -> None:
    bound = committed(dataset, OWNER, REGISTRY)
    again = committed(replace(dataset, salt=bound.salt), OWNER, REGISTRY)
    assert again.metadata.commitment == bound.metadata.commitment
    assert committed(dataset, OWNER, REGISTRY).metadata.commitment != bound.metadata.commitment


def test_a_changed_table_does_not_open(dataset: StoredDataset) -> None:
    bound = committed(dataset, OWNER, REGISTRY)
    path = Path(dataset.source.location)
    path.write_text(path.read_text().replace("50", "51"))
    with pytest.raises(DatasetError, match="has changed"):
        open_committed(bound, 1)


def test_a_dataset_without_a_commitment_does_not_open(dataset: StoredDataset) -> None:
    with pytest.raises(DatasetError, match="without a commitment"):
        open_committed(dataset, 0)


def test_only_the_owners_signature_binds(dataset: StoredDataset) -> None:
    commitment = committed(dataset, OWNER, REGISTRY).metadata.commitment
    assert commitment is not None
    root, signature = (bytes.fromhex(text[2:]) for text in (commitment.root, commitment.signature))
    assert is_bound(OWNER.account, REGISTRY, ID, root, signature)
    for told in (
        (Signer.new().account, REGISTRY, ID, root, signature),
        (OWNER.account, replace(REGISTRY, chain_id=1), ID, root, signature),
        (OWNER.account, REGISTRY, "another", root, signature),
        (OWNER.account, REGISTRY, ID, bytes(32), signature),
        (OWNER.account, REGISTRY, ID, root[:31], signature),
        (OWNER.account, REGISTRY, ID, root, signature[:64]),
    ):
        assert not is_bound(*told)
