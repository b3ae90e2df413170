"""A data owner's job: read the own table, align it with the other owner's, standardise, hold out, share."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter
from spu import libspu

from node_agent.engines.base import SCRATCH, EngineError, PrepareJob, PrepareResult
from node_agent.engines.child import Reporter
from node_agent.engines.reports import Failed
from node_agent.engines.scratch import private_scratch
from node_agent.engines.spu.alignment import intersect
from node_agent.engines.spu.session import lost_peers_named, session
from node_agent.engines.spu.shares import make_pairs
from node_agent.tables import BadTableError, Table, read_table
from soterone.domain.failures import FailureReason
from soterone.domain.rows import Scaling, class_weights, holdout_count, row_order, row_token
from soterone.domain.share_file import OwnerColumns, ShareFile, ShareHeader

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Notice:
    """What one owner tells the other at a turn of the job: its wishes, or the failure that ends it."""

    minimum_common_rows: int = 0
    has_label: bool = False
    failure: Failed | None = None


NOTICE: TypeAdapter[Notice] = TypeAdapter(Notice)


def prepare(job: PrepareJob, reporter: Reporter) -> PrepareResult:
    """Run the job; when either owner finds its data unfit, both end with the same failure."""
    if len(job.link.parties) != 2:
        sentence = "Exactly two data owners can be aligned: choose two datasets of different owners."
        raise EngineError(FailureReason.ENGINE_ERROR, sentence)
    with (
        private_scratch(Path(job.directory) / SCRATCH) as scratch,
        session(job.link, scratch, job.link.connect_seconds + job.link.silence_seconds) as link,
    ):
        reporter.progress("link")
        table, order = _align(job, link, scratch, reporter)
        _exchange(link, _classes_notice(job, table, order))
    return _share(job, table, order, reporter)


def _align(
    job: PrepareJob, link: libspu.link.Context, scratch: Path, reporter: Reporter
) -> tuple[Table, list[int]]:
    """Return the own table and the numbers of its aligned rows in the drawn order, the same rows at both owners."""
    table, notice = _read(job)
    reporter.progress("read")
    notices = _exchange(link, notice)
    if sum(notice.has_label for notice in notices) != 1:
        sentence = "Exactly one of the two owners must have the label column: name its dataset in the spec."
        raise EngineError(FailureReason.BAD_DATA, sentence)
    row_of = {row_token(key): row for row, key in enumerate(table.keys)}
    with lost_peers_named("the owners aligned their rows"):
        common = intersect(list(row_of), link, scratch)
    reporter.progress("align")
    minimum = max(2, *(notice.minimum_common_rows for notice in notices))
    if len(common) < minimum:
        sentence = (
            f"The data owners have fewer than {minimum} rows in common, the least their policies allow."
        )
        raise EngineError(FailureReason.TOO_FEW_COMMON_ROWS, sentence)
    return table, [row_of[token] for token in row_order(common, job.training.seed)]


def _read(job: PrepareJob) -> tuple[Table, Notice]:
    try:
        table = read_table(job.source, job.key, job.features, job.label)
    except BadTableError as error:
        nothing = Table([], np.empty((0, 0)), None)
        return nothing, Notice(failure=Failed(FailureReason.BAD_DATA, str(error)))
    return table, Notice(job.minimum_common_rows, job.label is not None)


def _exchange(link: libspu.link.Context, own: Notice) -> list[Notice]:
    """Tell the other owner and hear from it; raises the own failure or else the other's."""
    with lost_peers_named("the owners compared notes"):
        texts = link.all_gather(NOTICE.dump_json(own).decode())
    try:
        notices = [own, *(NOTICE.validate_json(text) for rank, text in enumerate(texts) if rank != link.rank)]
    except ValueError as error:
        sentence = "The other data owner's engine speaks another version: both owners must run the same one."
        raise EngineError(FailureReason.ENGINE_ERROR, sentence) from error
    for notice in notices:
        if notice.failure is not None:
            raise notice.failure.error("") if notice is own else notice.failure.hearsay()
    return notices


def _classes_notice(job: PrepareJob, table: Table, order: list[int]) -> Notice:
    """Refuse aligned rows whose training or held-out part has one class only; the other owner cannot see that."""
    if table.label is None:
        return Notice()
    labels, held = table.label[order], holdout_count(len(order), job.training.holdout)
    one_class = [part for part in (labels[:held], labels[held:]) if part.size and len(np.unique(part)) == 1]
    if not one_class:
        return Notice()
    sentence = (
        f"The label column '{job.label}' has only one class among the training or the held-out common rows: "
        "use more rows, another seed or another holdout."
    )
    return Notice(failure=Failed(FailureReason.BAD_DATA, sentence))


def _share(job: PrepareJob, table: Table, order: list[int], reporter: Reporter) -> PrepareResult:
    """Write the share file of each MPC rank and the constants that undo the standardisation."""
    held = holdout_count(len(order), job.training.holdout)
    rows = table.features[order]
    scaling = Scaling.of(rows[held:])
    arrays = {"x": scaling.apply(rows)} | _label_arrays(job, table, order, held)
    pairs = {name: make_pairs(values) for name, values in arrays.items()}
    account = next(party.account for party in job.link.parties if party.rank == job.link.rank)
    files = []
    for rank in (0, 1, 2):
        header = ShareHeader(
            kind="owner",
            query_id=job.link.query_id,
            generation=job.link.generation,
            attempt=job.link.attempt,
            rank=rank,
            owners=(OwnerColumns(account=account, columns=job.features),),
            training_rows=len(order) - held,
            holdout_rows=held,
        )
        path = Path(job.directory) / f"owner-share-{rank}.bin"
        path.write_bytes(
            ShareFile(header, {name: of_rank[rank] for name, of_rank in pairs.items()}).to_bytes()
        )
        files.append(str(path))
        reporter.progress("share", rank + 1, 3)
    constants = Path(job.directory) / "constants.json"
    constants.write_text(_constants(account, job, scaling))
    return PrepareResult(len(order), held, (files[0], files[1], files[2]), str(constants))


def _label_arrays(job: PrepareJob, table: Table, order: list[int], held: int) -> dict[str, Numbers]:
    if table.label is None:
        return {}
    labels = table.label[order].reshape(-1, 1)
    if job.training.class_weight == "none":
        return {"y": labels}
    weights = np.concatenate([np.ones((held, 1)), class_weights(labels[held:])])
    return {"y": labels, "weight": weights}


def _constants(account: str, job: PrepareJob, scaling: Scaling) -> str:
    columns = {
        name: {"mean": float(mean), "deviation": float(deviation)}
        for name, mean, deviation in zip(job.features, scaling.means, scaling.deviations, strict=True)
    }
    return json.dumps({"account": account, "columns": columns, "query_id": job.link.query_id}, sort_keys=True)
