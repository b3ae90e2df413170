"""`soter audit`: check everything that the chain shows, trusting nobody."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from soterone.audit.asking import Known, Told, ask, what_is_known
from soterone.audit.auditor import Audit, Request, run_audit
from soterone.audit.checkpoint import load, own_key, public_key_of, save
from soterone.audit.page import as_html
from soterone.audit.report import Report, Scope
from soterone.audit.text import as_document, as_lines
from soterone.chain.client import ChainClient
from soterone.chain.deployment import Deployment, DeploymentError
from soterone.chain.errors import ChainError, ChainUnreachableError
from soterone.chain.json_rpc import JsonRpc
from soterone.chain.records import Contracts
from soterone.cli.home import Home
from soterone.cli.output import JsonFlag, console, errors, plain, print_json
from soterone.client.errors import ClientError, Unreachable
from soterone.client.transport import Transport
from soterone.crypto.accounts import KeystoreError, account, account_of_keystore
from soterone.domain.ids import Account, hash32, query_id

_TIMEOUT_SECONDS = 120.0
_KEY_FILE = "audit.key"

Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class Places:
    """Where the chain is read: RPC addresses, and the file that says where the contracts stand."""

    rpc: str
    deployment: Path | None
    second_rpc: str | None = None


def audit(
    rpc: Annotated[
        str | None, typer.Option(help="A chain node's RPC; that of `soter login` by default.")
    ] = None,
    deployment: Annotated[
        Path | None, typer.Option(help="Where the contracts stand; deployments/<chain id>.json by default.")
    ] = None,
    query: Annotated[str | None, typer.Option(help="Tell of this query alone.")] = None,
    node: Annotated[str | None, typer.Option(help="Tell of this node alone.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Tell of everything, as without options.")
    ] = False,
    second_rpc: Annotated[str | None, typer.Option(help="Another RPC that must show the same chain.")] = None,
    block_hash: Annotated[str | None, typer.Option(help="Audit up to the block with this hash.")] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Go on from this file, if it is there, and write it anew when all agrees."),
    ] = None,
    trust_checkpoint: Annotated[
        list[str] | None, typer.Option(help="The key of another auditor whose checkpoint you believe.")
    ] = None,
    sources: Annotated[
        Path | None, typer.Option(help="Compile the contracts of this checkout and compare their code.")
    ] = None,
    coordinator: Annotated[str | None, typer.Option(help="Compare with what this coordinator tells.")] = None,
    ca_file: Annotated[Path | None, typer.Option(help="The coordinator's certificate authority.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report as one HTML page, too.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Rebuild every lifecycle and every score from the chain's events, prove the contracts' storage, and name every
    contradiction; exit status 1 when there is one."""
    if coordinator and block_hash:
        raise typer.BadParameter("--coordinator tells of the newest block: leave --block-hash out")
    places = Places(rpc or Home.current().network.rpc, deployment, second_rpc)
    request = Request(
        scope=_scope(query, node, everything),
        pinned=_parsed(hash32, block_hash, "--block-hash") if block_hash else None,
        sources=sources,
        told=_told(coordinator, ca_file, places) if coordinator else None,
    )
    report = _audited(places, request, checkpoint, frozenset(trust_checkpoint or ())).report
    if html:
        html.write_text(as_html(report))
    _show(report, as_json)
    if not report.ok:
        raise typer.Exit(1)


def _audited(places: Places, request: Request, checkpoint: Path | None, trusted: frozenset[str]) -> Audit:
    """Run the audit from and to a checkpoint; ClientError or Unreachable when that cannot be done."""
    with _chain_errors():
        key = own_key(Home.current().folder / _KEY_FILE) if checkpoint else None
        if checkpoint and key and checkpoint.exists():
            request = replace(request, checkpoint=load(checkpoint, trusted | {public_key_of(key)}))
        with errors.status("reading the chain") as status:
            announced = replace(request, announce=status.update)
            finished = asyncio.run(_run(places, announced))
        if checkpoint and key and finished.checkpoint:
            save(finished.checkpoint, checkpoint, key)
    return finished


@contextmanager
def _chain_errors() -> Iterator[None]:
    """Tell of the chain's errors as the commands do."""
    try:
        yield
    except ChainUnreachableError as error:
        raise Unreachable(str(error)) from error
    except (ChainError, DeploymentError) as error:
        raise ClientError(str(error)) from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise ClientError(f"The chain's RPC gives answers that no Ethereum node gives ({what}).") from error


async def _run(places: Places, request: Request) -> Audit:
    async with AsyncExitStack() as stack:
        contracts = await _contracts(places)
        chain = await _connected(stack, places.rpc, contracts)
        if places.second_rpc:
            request = replace(request, second=await _connected(stack, places.second_rpc, contracts))
        return await run_audit(chain, request)


async def _connected(stack: AsyncExitStack, rpc: str, contracts: Contracts) -> ChainClient:
    connecting = ChainClient.connect(rpc, contracts, timeout_seconds=_TIMEOUT_SECONDS)
    return await stack.enter_async_context(await connecting)


async def _contracts(places: Places) -> Contracts:
    if places.deployment:
        return Contracts.of(Deployment.load(places.deployment))
    chain_id = await _chain_id(places.rpc)
    return Contracts.of(Deployment.load(Path("deployments") / f"{chain_id}.json"))


async def _known(places: Places) -> Known:
    contracts = await _contracts(places)
    async with await ChainClient.connect(places.rpc, contracts, timeout_seconds=_TIMEOUT_SECONDS) as chain:
        return await what_is_known(chain)


async def _chain_id(rpc_url: str) -> int:
    rpc = JsonRpc(rpc_url)
    try:
        return int(await rpc.call("eth_chainId"), 16)
    finally:
        await rpc.close()


def _told(coordinator: str, ca_file: Path | None, places: Places) -> Told:
    """Ask a coordinator, as the customer when `soter login` was at the same one."""
    try:
        network, token = Home.current().network, Home.current().token
    except ClientError:
        network, token = None, None
    customer = _customer(network.keystore) if network and token else None
    with _chain_errors():
        known = asyncio.run(_known(places))
    own = network is not None and network.coordinator.rstrip("/") == coordinator.rstrip("/")
    transport = Transport(coordinator, ca_file or (network.ca_file if network and own else None))
    transport.token = token if own else None
    try:
        return ask(transport, known, customer if own else None)
    finally:
        transport.close()


def _customer(keystore: Path) -> Account | None:
    try:
        return account_of_keystore(keystore)
    except KeystoreError:
        return None


def _scope(query: str | None, node: str | None, everything: bool) -> Scope:
    if sum((query is not None, node is not None, everything)) > 1:
        raise typer.BadParameter("choose one of --query, --node and --all")
    return Scope(
        _parsed(query_id, query, "--query") if query else None,
        _parsed(account, node, "--node") if node else None,
    )


def _parsed(parse: Callable[[str], Parsed], text: str, option: str) -> Parsed:
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} {text}: {error}") from error


def _show(report: Report, as_json: bool) -> None:
    if as_json:
        print_json(as_document(report))
        return
    for line in as_lines(report):
        style = "red" if line.startswith("✗") else None
        console.print(plain(line), style=style, highlight=False, soft_wrap=True)
