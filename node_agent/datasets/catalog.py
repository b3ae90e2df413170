"""Puts datasets into the network's catalog and takes them out again; remembers what stands for what."""

import sqlite3
import uuid
from collections.abc import Iterable
from dataclasses import replace

import grpc
import grpc.aio
from pydantic import ValidationError

from node_agent.coordinator_link import CoordinatorLink, refusal
from node_agent.datasets.inspection import DatasetError, Inspection
from node_agent.store import Store
from node_agent.store.datasets import StoredDataset
from soterone.domain.ids import DatasetId
from soterone.domain.masking import TableShape, mask
from soterone.domain.spec import describe
from soterone.rpc.generated.coordinator_pb2 import PublishDatasetRequest, WithdrawDatasetRequest

CALL_SECONDS = 30.0


def draft(
    store: Store,
    inspection: Inspection,
    shape: TableShape,
    name: str,
    description: str = "",
    tags: Iterable[str] = (),
    hidden: frozenset[str] = frozenset(),
) -> StoredDataset:
    """Return the dataset as it would be published, without sending or keeping anything.

    A draft takes the id of an earlier try of the same name that was never published, so that trying again is safe.
    """
    earlier = store.datasets.named(name)
    if earlier and earlier.published:
        raise DatasetError(
            f"a dataset called {name!r} is published already; remove it first or choose another --name"
        )
    _check_hidden(shape, hidden)
    dataset_id = earlier.id if earlier else DatasetId(str(uuid.uuid4()))
    try:
        metadata = mask(shape, dataset_id, name, description, tags, hidden)
    except ValidationError as error:
        raise DatasetError(f"the dataset cannot be described: {describe(error)}") from error
    if len(metadata.columns) < 2:
        raise DatasetError("nothing but the key would be published; hide fewer columns")
    kept = [column.name for column in shape.columns if column.name not in hidden or column.name == shape.key]
    published = [column.name for column in metadata.columns]
    return StoredDataset(
        inspection.source,
        metadata,
        dict(zip(published, kept, strict=True)),
        published=False,
        salt=earlier.salt if earlier else b"",
    )


def _check_hidden(shape: TableShape, hidden: frozenset[str]) -> None:
    known = {column.name for column in shape.columns}
    if shape.key in hidden:
        raise DatasetError(f"the key column {shape.key!r} cannot be hidden; only its kind is published")
    if unknown := hidden - known:
        raise DatasetError(f"--hide names {min(unknown)!r}, which is not a column of the table")


async def publish(store: Store, link: CoordinatorLink, dataset: StoredDataset) -> None:
    """Send a draft's metadata and keep the dataset; safe to repeat. Errors: AgentError, Unreachable."""
    try:
        with store.transaction():
            store.datasets.save(dataset)
    except sqlite3.IntegrityError as error:
        raise DatasetError(f"a dataset called {dataset.metadata.name!r} exists already") from error
    request = PublishDatasetRequest(metadata_json=dataset.metadata.model_dump_json())
    try:
        reply = await link.agents.PublishDataset(request, timeout=CALL_SECONDS)
    except grpc.aio.AioRpcError as error:
        raise refusal(error, "so nothing was published") from error
    if reply.dataset_id != dataset.id:
        raise DatasetError("the coordinator answered with another dataset id; nothing counts as published")
    with store.transaction():
        store.datasets.save(replace(dataset, published=True))


async def withdraw(store: Store, link: CoordinatorLink, wanted: str) -> StoredDataset:
    """Take a dataset, by name or id, out of the catalog and forget it; a catalog without it is fine."""
    dataset = store.datasets.named(wanted) or store.datasets.get(wanted)
    if dataset is None:
        raise DatasetError(f"there is no dataset {wanted!r}; see `soter-node dataset list`")
    try:
        await link.agents.WithdrawDataset(WithdrawDatasetRequest(dataset_id=dataset.id), timeout=CALL_SECONDS)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise refusal(error, "so the dataset stays") from error
    with store.transaction():
        store.datasets.delete(dataset.id)
    return dataset
