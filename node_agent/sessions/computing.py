"""What a node computes in one attempt: an owner aligns and shares, an MPC node trains; the result is sealed here."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import grpc
import grpc.aio

from node_agent.cancellation import all_of
from node_agent.engines.base import RESULT_FILE, EngineError, Progress
from node_agent.peers.client import Peers
from node_agent.sessions.checkpoints import Resume
from node_agent.sessions.context import AgentContext
from node_agent.sessions.delivery import CONSTANTS_RANK, sealed_result
from node_agent.sessions.plan import Seat, checkpoint_files, lend_job, prepare_job, train_job
from node_agent.sessions.ports import OwnDataset
from node_agent.sessions.retry import until_answered
from node_agent.workspace.folder import Workspace
from soterone.domain.ids import Account
from soterone.domain.spec import QuerySpec

UPLOAD_SECONDS = 600.0
LINK_TROUBLE = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL}
)
OnProgress = Callable[[Progress], None]


class UploadError(Exception):
    """An MPC node did not take its share; the text says which and why.

    `superseded` says that the node is already at another attempt, and nobody failed; `over` that the query has
    ended there, which that node tells everybody itself.
    """

    def __init__(self, sentence: str, code: grpc.StatusCode) -> None:
        super().__init__(sentence)
        self.superseded = code is grpc.StatusCode.ABORTED
        self.over = code is grpc.StatusCode.FAILED_PRECONDITION


def result_name(generation: int) -> str:
    """Return the name under which the workspace keeps what is to be delivered of a generation."""
    return f"result-{generation}"


async def share(
    context: AgentContext,
    seat: Seat,
    spec: QuerySpec,
    dataset: OwnDataset,
    directory: Path,
    peers: Peers,
    on_progress: OnProgress,
) -> bytes:
    """Do an owner's part: align, share, upload each MPC node's share. Returns the standardisation constants."""
    limits = context.engine_limits(seat.order.max_run_seconds)
    minimum = context.policy.minimum_common_rows
    job = prepare_job(seat, spec, dataset, directory, minimum, context.limits)
    result = await context.engine.prepare(job, limits, on_progress)
    await _upload_all(context, peers, seat, result.share_files)
    return await asyncio.to_thread(Path(result.constants_file).read_bytes)


async def train(
    context: AgentContext,
    seat: Seat,
    spec: QuerySpec,
    directory: Path,
    resume: Resume | None,
    on_progress: OnProgress,
) -> bytes:
    """Do an MPC node's part, from the beginning or from a checkpoint. Returns its share of the model and metrics.

    A result that is written stands, also when the engine ended badly afterwards: the others have computed theirs.
    """
    limits = context.engine_limits(seat.order.max_run_seconds)
    job = train_job(seat, spec, directory, context.limits, resume)
    result_file = directory / RESULT_FILE
    try:
        await context.engine.train(job, limits, on_progress)
    except EngineError:
        if not await asyncio.to_thread(result_file.is_file):
            raise
    return await asyncio.to_thread(result_file.read_bytes)


async def lend(
    context: AgentContext, seat: Seat, resume: Resume, workspace: Workspace, directory: Path, peers: Peers
) -> None:
    """Do a lender's part: split its checkpoint and bring each MPC node, itself too, the part that is its own."""
    own = directory / "lend"
    await asyncio.to_thread(own.mkdir, mode=0o700)
    checkpoint = own / "own.checkpoint"
    await asyncio.to_thread(workspace.expose, resume.checkpoint.name, checkpoint)
    limits = context.engine_limits(seat.order.max_run_seconds)
    result = await context.engine.lend(lend_job(seat, resume, own, checkpoint), limits)
    place = checkpoint_files(directory, resume)[resume.lenders.index(seat.account)]
    parts = [(mpc, Path(part)) for mpc, part in zip(seat.order.mpcs, result.part_files, strict=True)]
    for mpc, part in parts:
        if mpc == seat.account:
            part.replace(place)
    await all_of(
        _upload(context, mpc, partial(peers.deliver_checkpoint, mpc, seat.fence, part, UPLOAD_SECONDS))
        for mpc, part in parts
        if mpc != seat.account
    )
    await asyncio.to_thread(shutil.rmtree, own)


def keep_result(workspace: Workspace, seat: Seat, result_key: bytes, rank: int, plaintext: bytes) -> None:
    """Seal a result and keep it for delivery. A generation's first one stays: nodes deliver one each."""
    generation = seat.fence.generation
    if not workspace.has(result_name(generation)):
        sealed = sealed_result(seat.order, result_key, generation, rank, plaintext)
        workspace.write(result_name(generation), sealed)


def rank_of(seat: Seat) -> int:
    """Return the rank under which this node delivers."""
    mpcs = seat.order.mpcs
    return mpcs.index(seat.account) if seat.account in mpcs else CONSTANTS_RANK


async def _upload_all(context: AgentContext, peers: Peers, seat: Seat, files: tuple[str, ...]) -> None:
    places = zip(seat.order.mpcs, map(Path, files), strict=True)
    await all_of(
        _upload(context, mpc, partial(peers.deliver_shares, mpc, seat.fence, file, UPLOAD_SECONDS))
        for mpc, file in places
    )


async def _upload(context: AgentContext, mpc: Account, once: Callable[[], Awaitable[None]]) -> None:
    try:
        await until_answered(
            once,
            context.backoff,
            patience_seconds=context.limits.join_patience_seconds,
            for_good=frozenset(grpc.StatusCode) - LINK_TROUBLE,
        )
    except grpc.aio.AioRpcError as error:
        sentence = f"The MPC node {mpc} did not take its share: {error.details()}"
        raise UploadError(sentence, error.code()) from error
