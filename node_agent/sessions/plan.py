"""The engine's jobs of a query, from its spec, its order and the roster of one attempt: pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from node_agent.engines.base import LendJob, Link, Party, PrepareJob, TrainJob
from node_agent.sessions.checkpoints import Resume
from node_agent.sessions.order import Order, OrderRefusedError
from node_agent.sessions.ports import OwnDataset, SessionLimits
from node_agent.sessions.states import Fence
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account
from soterone.domain.metadata import ColumnMetadata
from soterone.domain.spec import QuerySpec

NUMERIC_KINDS = ("number", "flag")


@dataclass(frozen=True, slots=True)
class Engine:
    """Where a participant's engine listens in one attempt, and the certificate it shows."""

    account: Account
    host: str
    port: int
    certificate_pem: str


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that one owner brings, by the names in its table."""

    key: str
    features: tuple[str, ...]
    label: str | None


@dataclass(frozen=True, slots=True)
class Seat:
    """This node's place in one attempt: who it is, its fence, its engine's key, and everybody's engine."""

    account: Account
    order: Order
    fence: Fence
    private_key_pem: str = field(repr=False)
    roster: tuple[Engine, ...]

    def link(self, parties: Sequence[Account], limits: SessionLimits) -> Link:
        """Return the mesh among `parties`; their order is their rank."""
        engines = {engine.account: engine for engine in self.roster}
        return Link(
            self.order.query_id,
            self.fence.generation,
            self.fence.attempt,
            parties.index(self.account),
            tuple(_party(rank, engines[party]) for rank, party in enumerate(parties)),
            self.private_key_pem,
            silence_seconds=limits.engine_silence_seconds,
            connect_seconds=limits.join_patience_seconds,
        )


def choose_columns(spec: QuerySpec, dataset: OwnDataset) -> Columns:
    """Return the columns that the spec asks of this dataset; OrderRefusedError names the one it does not publish.

    Without a list these are the numeric columns that the owner publishes under their own names, but key and label.
    """
    published = {column.name: column for column in dataset.metadata.columns}
    key = spec.key_of(dataset.metadata.id)
    label = spec.label.column if spec.label.dataset == dataset.metadata.id else None
    features = spec.features_of(dataset.metadata.id)
    if features is None:
        features = [name for name, one in published.items() if _is_feature(one) and name not in (key, label)]
    if not features:
        raise OrderRefusedError(
            f"The dataset {dataset.metadata.name!r} publishes no numeric column to train on.",
            FailureReason.BAD_DATA,
        )
    _require(published, key, dataset, "key")
    for column in (*features, *([label] if label is not None else [])):
        _require(published, column, dataset, "label" if column == label else "feature")
    return Columns(dataset.columns.get(key, key), tuple(features), label)


def _is_feature(column: ColumnMetadata) -> bool:
    return column.kind in NUMERIC_KINDS and not column.masked


def _require(published: dict[str, ColumnMetadata], name: str, dataset: OwnDataset, use: str) -> None:
    column = published.get(name)
    if column is None:
        sentence = (
            f"The dataset {dataset.metadata.name!r} publishes no column {name!r}, or its owner does not lend it: "
            f"name another {use}."
        )
        raise OrderRefusedError(sentence, FailureReason.BAD_DATA)
    if column.masked and use != "key":
        sentence = (
            f"The column {name!r} looks personal, so the owner of {dataset.metadata.name!r} lends it to none."
        )
        raise OrderRefusedError(sentence)


def prepare_job(
    seat: Seat,
    spec: QuerySpec,
    dataset: OwnDataset,
    directory: Path,
    minimum_common_rows: int,
    limits: SessionLimits,
) -> PrepareJob:
    """Return an owner's job; its link joins the owners alone."""
    columns = choose_columns(spec, dataset)
    return PrepareJob(
        seat.link(seat.order.owners, limits),
        str(directory),
        dataset.source,
        columns.key,
        columns.features,
        columns.label,
        spec.training,
        minimum_common_rows,
    )


def train_job(
    seat: Seat, spec: QuerySpec, directory: Path, limits: SessionLimits, resume: Resume | None = None
) -> TrainJob:
    """Return an MPC node's job; it waits for `share_file` of each owner and for the checkpoint it goes on from."""
    return TrainJob(
        seat.link(seat.order.mpcs, limits),
        str(directory),
        seat.order.owners,
        tuple(str(share_file(directory, seat.order, owner)) for owner in seat.order.owners),
        spec.training,
        checkpoint_files=tuple(str(one) for one in checkpoint_files(directory, resume)),
        resume_epoch=resume.checkpoint.epoch if resume else 0,
        share_wait_seconds=float(seat.order.max_run_seconds),
    )


def checkpoint_files(directory: Path, resume: Resume | None) -> tuple[Path, ...]:
    """Return where an MPC node's engine finds its own checkpoint, or the parts of the two lenders in their order."""
    if resume is None:
        return ()
    if not resume.lenders:
        return (directory / "resumed.checkpoint",)
    return tuple(directory / f"lender-{number}.part" for number in range(len(resume.lenders)))


def lend_job(seat: Seat, resume: Resume, directory: Path, checkpoint_file: Path) -> LendJob:
    """Return a lender's job; `directory` is its own."""
    mpcs = seat.order.mpcs
    (other,) = (lender for lender in resume.lenders if lender != seat.account)
    return LendJob(str(directory), str(checkpoint_file), mpcs.index(seat.account), mpcs.index(other))


def share_file(directory: Path, order: Order, owner: Account) -> Path:
    """Return where an MPC node's engine finds the share of an owner."""
    return directory / f"owner-{order.owners.index(owner)}.share"


def _party(rank: int, engine: Engine) -> Party:
    return Party(rank, engine.account, engine.host, engine.port, engine.certificate_pem)
