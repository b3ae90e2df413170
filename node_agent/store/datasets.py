"""Datasets that this owner has added: where the table is, what was published, which name stands for which column."""

import json
import sqlite3
from dataclasses import asdict, dataclass

from node_agent.tables import TableSource
from soterone.domain.ids import DatasetId
from soterone.domain.metadata import DatasetMetadata


@dataclass(frozen=True, slots=True)
class StoredDataset:
    """A dataset. `columns` maps each published column name to the real one (they differ where masked); `salt` opens the
    commitment to its rows, empty where there is none."""

    source: TableSource
    metadata: DatasetMetadata
    columns: dict[str, str]
    published: bool
    salt: bytes = b""

    @property
    def id(self) -> DatasetId:
        """The dataset's id in the catalog."""
        return self.metadata.id


class Datasets:
    """The table of datasets."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def save(self, dataset: StoredDataset) -> None:
        """Insert or replace a dataset; sqlite3.IntegrityError when another one has its name."""
        self._connection.execute(
            "INSERT INTO datasets VALUES (?, ?, ?, ?, ?, ?, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), ?)"
            " ON CONFLICT (id) DO UPDATE SET name = excluded.name, source = excluded.source,"
            " metadata = excluded.metadata, columns = excluded.columns, published = excluded.published,"
            " salt = excluded.salt",
            (
                dataset.id,
                dataset.metadata.name,
                json.dumps(asdict(dataset.source)),
                dataset.metadata.model_dump_json(),
                json.dumps(dataset.columns),
                int(dataset.published),
                dataset.salt,
            ),
        )

    def get(self, dataset_id: str) -> StoredDataset | None:
        """Return a dataset by id, None when this owner has none of that id."""
        row = self._connection.execute("SELECT * FROM datasets WHERE id = ?", (dataset_id,)).fetchone()
        return _from_row(row) if row else None

    def named(self, name: str) -> StoredDataset | None:
        """Return a dataset by name, None when there is none."""
        row = self._connection.execute("SELECT * FROM datasets WHERE name = ?", (name,)).fetchone()
        return _from_row(row) if row else None

    def all(self) -> list[StoredDataset]:
        """Return every dataset, oldest first."""
        rows = self._connection.execute("SELECT * FROM datasets ORDER BY created_at, name")
        return [_from_row(row) for row in rows]

    def delete(self, dataset_id: str) -> None:
        """Forget a dataset; nothing happens when there is none."""
        self._connection.execute("DELETE FROM datasets WHERE id = ?", (dataset_id,))


def _from_row(row: sqlite3.Row) -> StoredDataset:
    return StoredDataset(
        TableSource(**json.loads(row["source"])),
        DatasetMetadata.model_validate_json(row["metadata"]),
        json.loads(row["columns"]),
        bool(row["published"]),
        row["salt"],
    )
