"""What an engine is to the agent: jobs in, progress and results out, failures as QueryFailed reasons.

Nothing here loads a computing library: the agent imports this module, the engine's child does the work.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal, Protocol

from pydantic import Field, TypeAdapter

from node_agent.tables import TableSource
from soterone.domain.failures import FailureReason
from soterone.domain.spec import Training

SCRATCH = "scratch"
"""Where in a job's directory plaintext and keys lie while a library wants them on disk; gone when the run is."""

RESULT_FILE = "result-share.bin"
"""Where in a job's directory a training leaves its result. It appears whole, and stands from then on: whoever loses
the others while they part has nothing left to compute with them."""

Phase = Literal["start", "read", "link", "align", "share", "wait", "compile", "train", "evaluate"]


class EngineError(Exception):
    """A job ended without a result. `sentence` is public and holds no data; `detail` is for the local log.

    `reason` is one of TOO_FEW_COMMON_ROWS, ENGINE_ERROR and BAD_DATA. `heard` says that another party of the link
    is at fault and tells of it itself. `mismatch` says that the nodes' checkpoints do not fit together, or are of
    another training: every node of the link gets it, and must drop its checkpoints and start from the beginning.
    `unlinked` are the ranks that this party could not link with, as far as it knows.
    """

    def __init__(
        self,
        reason: FailureReason,
        sentence: str,
        detail: str = "",
        *,
        heard: bool = False,
        mismatch: bool = False,
        unlinked: tuple[int, ...] = (),
    ) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence
        self.detail = detail
        self.heard = heard
        self.mismatch = mismatch
        self.unlinked = unlinked


@dataclass(frozen=True, slots=True)
class Party:
    """One end of a session link; ranks count from 0 inside this link, the certificate is of this attempt."""

    rank: int
    account: str
    host: str
    port: int
    certificate_pem: str


@dataclass(frozen=True, slots=True)
class Link:
    """A TLS mesh between the parties of one attempt. `rank` is this process's own, the key its certificate's.

    `silence_seconds` is how long a party waits for the next message of another before it calls it lost;
    `connect_seconds` is how long parties may differ in starting.
    """

    query_id: str
    generation: int
    attempt: int
    rank: int
    parties: tuple[Party, ...]
    private_key_pem: str = field(repr=False)
    silence_seconds: float = 8.0
    connect_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class PrepareJob:
    """A data owner's work: read, align with the other owner, standardise, hold out, share.

    The link joins the two owners. `directory` must be private and on tmpfs: plaintext passes through it.
    `label` is None at the owner that has none. `minimum_common_rows` is this owner's policy; the larger of
    both owners' decides.
    """

    link: Link
    directory: str
    source: TableSource
    key: str
    features: tuple[str, ...]
    label: str | None
    training: Training
    minimum_common_rows: int = 100
    kind: Literal["prepare"] = "prepare"


@dataclass(frozen=True, slots=True)
class PrepareResult:
    """Files inside the job's directory: a share for each MPC rank, and the standardisation constants (JSON).

    One share alone is uniformly random; any two are the data, so each goes to its own node only.
    """

    common_rows: int
    holdout_rows: int
    share_files: tuple[str, str, str]
    constants_file: str
    kind: Literal["prepare"] = "prepare"


@dataclass(frozen=True, slots=True)
class TrainJob:
    """An MPC node's work: link with the other two, wait for the owners' shares, train, evaluate.

    `share_files` are in the order of `owners`, the accounts who uploaded them. `checkpoint_files` say where to go
    on: one is this node's own checkpoint, two are the parts of the lender of the lower rank and of the other (see
    `LendJob`), none is the beginning; all three nodes must have one of the same attempt and of `resume_epoch`. After
    the last epoch the model is only evaluated. No file need exist at the start: the engine links first, then waits
    until all three nodes have theirs, so write each under another name and rename it.
    """

    link: Link
    directory: str
    owners: tuple[str, ...]
    share_files: tuple[str, ...]
    training: Training
    checkpoint_files: tuple[str, ...] = ()
    resume_epoch: int = 0
    share_wait_seconds: float = 600.0
    kind: Literal["train"] = "train"


@dataclass(frozen=True, slots=True)
class TrainResult:
    """This rank's share of the model and its metrics, to be sealed; the last two checkpoints, oldest first.

    `train_seconds` is the training loop alone: no linking, waiting, compiling or evaluating.
    """

    result_file: str
    checkpoint_files: tuple[str, ...]
    train_seconds: float
    kind: Literal["train"] = "train"


@dataclass(frozen=True, slots=True)
class LendJob:
    """A survivor's work: split its half of a checkpoint among three nodes, so that a new trio can go on from it.

    `rank` and `other_rank` are those of the two lenders when they wrote it. `directory` is this job's own, private
    and on tmpfs.
    """

    directory: str
    checkpoint_file: str
    rank: int
    other_rank: int
    kind: Literal["lend"] = "lend"


@dataclass(frozen=True, slots=True)
class LendResult:
    """Files inside the job's directory: the part for each rank of the new trio, each for its own node only."""

    part_files: tuple[str, str, str]
    kind: Literal["lend"] = "lend"


Job = Annotated[PrepareJob | TrainJob | LendJob, Field(discriminator="kind")]
JobResult = Annotated[PrepareResult | TrainResult | LendResult, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Progress:
    """A step of a phase: `done` of `total` (epochs while training); `seconds` since the child had its job.

    `checkpoint_file` is this node's checkpoint after that epoch, also after the one that a job resumed from: it
    stays until two newer ones are written, or the job's directory goes.
    """

    phase: Phase
    done: int
    total: int
    seconds: float
    checkpoint_file: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one engine process may use: resident memory, wall time from the job's start, CPU niceness.

    `link_seconds` is the wall time until it has linked, or has lent: an engine that hangs before is missed by nobody.
    """

    memory_bytes: int = 4 * 2**30
    seconds: float = 3600.0
    link_seconds: float = 120.0
    nice: int = 5


OnProgress = Callable[[Progress], None]


class Engine(Protocol):
    """A way to compute. A call is one child process, killed when it is cancelled; raises EngineError."""

    name: str

    async def prepare(
        self, job: PrepareJob, limits: Limits, on_progress: OnProgress | None = None
    ) -> PrepareResult: ...

    async def train(
        self, job: TrainJob, limits: Limits, on_progress: OnProgress | None = None
    ) -> TrainResult: ...

    async def lend(self, job: LendJob, limits: Limits) -> LendResult: ...


JOB: TypeAdapter[Job] = TypeAdapter(Job)
