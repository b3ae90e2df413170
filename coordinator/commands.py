"""The commands of `soter-coordinator`. Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 unreachable."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Never, TypeVar

import structlog
import typer
from rich.console import Console
from sqlalchemy.exc import DBAPIError

from coordinator import logs, migrations, settings, setup
from coordinator.database import Database
from coordinator.database_errors import DatabaseAway, away
from coordinator.sole_process import sole_process
from soterone.chain.client import ChainClient
from soterone.chain.deployment import Deployment, DeploymentError
from soterone.chain.errors import ChainError, ChainUnreachableError
from soterone.chain.records import Contracts
from soterone.crypto.accounts import KeystoreError
from soterone.rpc.channels import BindError

app = typer.Typer(
    help="The management system of a SoterOne network.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)

DataDir = Annotated[Path, typer.Option(help="The coordinator's folder.")]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        help="postgresql+psycopg://USER:PASSWORD@HOST:PORT/DATABASE; without it SQLite in the folder.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

AnswerT = TypeVar("AnswerT")

_REBUILD_ANSWER_SECONDS = 120.0
"""How long the chain may take for one answer to a rebuild, which asks for many blocks at once."""

_REFUSALS = (
    settings.SettingsError,
    migrations.NotMigrated,
    migrations.NotEmpty,
    DeploymentError,
    KeystoreError,
    BindError,
    ChainError,
    DatabaseAway,
)


@app.command()
def init(
    data_dir: DataDir,
    chain_rpc: Annotated[str, typer.Option(help="The chain's HTTP RPC.")],
    deployment: Annotated[Path, typer.Option(help="The file that scripts/deploy.py wrote.")],
    key_file: Annotated[Path, typer.Option(help="Who pays for transactions: a keystore, or a key as hex.")],
    key_password_file: Annotated[Path | None, typer.Option(help="The keystore's password.")] = None,
    chain_ws: Annotated[
        str | None, typer.Option(help="The chain's WebSocket RPC, to hear of blocks sooner.")
    ] = None,
    database_url: DatabaseUrl = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    public_host: Annotated[str, typer.Option(help="The name or address that others know.")] = "127.0.0.1",
    rest_port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one, kept.")] = 0,
    agents_port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one, kept.")] = 0,
    enrolment_port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one, kept.")] = 0,
    cors_origin: Annotated[
        list[str] | None, typer.Option(help="A web page that may call the REST interface.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make the folder: certificate authority, server key and settings."""
    wishes = setup.Wishes(
        data_dir, chain_rpc, chain_ws, deployment, key_file, key_password_file, database_url, host,
        public_host, rest_port, agents_port, enrolment_port, tuple(cors_origin or ()),
    )  # fmt: skip
    account = _run(lambda: setup.initialise(wishes))
    answer = {"data_dir": str(data_dir), "account": account, "ca_file": str(data_dir / "ca.pem")}
    _tell(
        answer, as_json, f"{data_dir} is ready; run soter-coordinator migrate, then serve. Payer: {account}"
    )


@app.command()
def migrate(data_dir: DataDir, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Bring the database up to this version; doing it again changes nothing."""

    async def run() -> tuple[str | None, str]:
        async with Database(settings.load(data_dir, database_url=database_url).database) as database:
            return await migrations.migrate(database)

    before, after = _run(run)
    _tell(
        {"before": before, "after": after}, as_json, f"the database has revision {after} (before: {before})"
    )


@app.command()
def serve(
    data_dir: DataDir,
    only: Annotated[
        list[str] | None,
        typer.Option(help="api, rpc, follower, sender or reconciler; several times for several."),
    ] = None,
    database_url: DatabaseUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="Its one line is JSON in any case.")] = True,
) -> None:
    """Run the coordinator until SIGTERM or Ctrl-C; prints one JSON line with its addresses once it answers."""
    from coordinator.services import Service
    from coordinator.services import serve as run_services

    logs.configure()
    known = [service.value for service in Service]
    unknown = sorted(set(only or ()) - set(known))
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is no service; there are {', '.join(known)}")
    chosen = frozenset(Service(name) for name in only) if only else frozenset(Service)

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await run_services(settings.load(data_dir, database_url=database_url), chosen, stop, _announce)

    _run(run)


@app.command()
def rebuild(data_dir: DataDir, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Restore everything that the chain knows into an empty, migrated database.

    Nodes must enrol again (soter-node register) and owners publish their datasets again: profiles, metadata, specs
    and sealed results are on no chain.
    """
    from coordinator.rebuilding.service import Report
    from coordinator.rebuilding.service import rebuild as restore

    logs.configure()

    async def run() -> Report:
        chosen = settings.load(data_dir, database_url=database_url)
        contracts = Contracts.of(Deployment.load(chosen.deployment_file))
        with sole_process(chosen), _progress() as tell:
            async with Database(chosen.database) as database:
                await migrations.check(database)
                async with await ChainClient.connect(
                    chosen.chain_rpc, contracts, timeout_seconds=_REBUILD_ANSWER_SECONDS
                ) as chain:
                    return await restore(database, chain, chosen.confirmations, tell)

    report = _run(run)
    said = (
        f"restored {report.queries} queries ({report.unfinished} unfinished), {report.nodes} nodes and "
        f"{report.events} events up to block {report.block}; the nodes must run soter-node register again"
    )
    _tell(report.as_dict(), as_json, said)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Yield who shows on a terminal what is being done; elsewhere it says nothing."""
    console = Console(stderr=True)
    with console.status("starting") as shown:
        yield shown.update


@app.command()
def status(data_dir: DataDir, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Say what the database holds: nodes, queries, transactions on their way, the block followed to."""
    from coordinator.status import read_status

    async def run() -> dict[str, Any]:
        async with Database(settings.load(data_dir, database_url=database_url).database) as database:
            await migrations.check(database)
            return await read_status(database)

    answer = _run(run)
    _tell(answer, as_json, "\n".join(f"{name}: {value}" for name, value in answer.items()))


def _run(work: Callable[[], Coroutine[Any, Any, AnswerT]]) -> AnswerT:
    try:
        return asyncio.run(work())
    except BaseExceptionGroup as group:
        refusals, rest = group.split(_REFUSALS)
        if refusals is None or rest is not None:
            structlog.get_logger().error("coordinator_failed", exc_info=group)
            _fail("the coordinator stopped on an error; the log above has it whole", 1)
        _refuse(refusals.exceptions[0])
    except _REFUSALS as refusal:
        _refuse(refusal)
    except DBAPIError as error:
        if away(error, rolled_back=True):
            _fail(f"the coordinator's database gives no answer: {error.orig}", 3)
        _fail(
            f"the coordinator's database cannot be used ({error.orig}); check that it is whole and can be reached, "
            "or restore it from a backup",
            1,
        )
    except OSError as error:
        _fail(f"a file of the coordinator cannot be used: {error}", 1)


def _refuse(refusal: BaseException) -> Never:
    if isinstance(refusal, DatabaseAway):
        _fail(f"the coordinator's database gives no answer: {refusal.__cause__ or refusal}", 3)
    _fail(str(refusal), 3 if isinstance(refusal, ChainUnreachableError) else 1)


def _fail(sentence: str, status: int) -> Never:
    Console(stderr=True, soft_wrap=True, highlight=False).print(sentence, style="red", markup=False)
    raise typer.Exit(status)


def _tell(answer: dict[str, Any], as_json: bool, sentence: str) -> None:
    if as_json:
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        Console(soft_wrap=True, highlight=False).print(sentence, markup=False)


def _announce(addresses: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(addresses) + "\n")
    sys.stdout.flush()
