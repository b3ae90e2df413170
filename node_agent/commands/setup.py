"""`init`, `register` and `unregister`: an agent's way into the network and out of it."""

import asyncio
import socket
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from node_agent.commands.reporting import DEFAULT_DATA_DIR, DataDir, Json, answer, busy, command
from node_agent.coordinator_link import CoordinatorLink
from node_agent.errors import AgentError, WrongUsage
from node_agent.folder import DataFolder
from node_agent.identity import open_identity, open_signer, read_password
from node_agent.network import Network, join_network
from node_agent.policy_gate import DEFAULT_POLICY
from node_agent.registration import register, unregister
from node_agent.resources import measure_profile
from node_agent.settings import ROLES, AgentSettings, load_settings, save_settings
from node_agent.store import Store
from soterone.crypto.accounts import Signer, account, create_keystore
from soterone.crypto.certificates import new_tls_key
from soterone.crypto.files import write_private
from soterone.domain.ids import Account
from soterone.domain.profiles import NodeProfile
from soterone.domain.spec import describe

Coordinator = Annotated[str, typer.Option("--coordinator", help="https://host:port of the coordinator.")]
CaFile = Annotated[
    Path | None, typer.Option("--ca-file", help="The coordinator's CA, unless this machine knows it.")
]
Rpc = Annotated[str, typer.Option("--rpc", help="HTTP RPC of a chain node that you trust.")]
RpcWs = Annotated[str | None, typer.Option("--rpc-ws", help="Its WebSocket, to hear of blocks at once.")]
DeploymentFile = Annotated[Path | None, typer.Option("--deployment", help="The contracts as you know them.")]
Name = Annotated[str, typer.Option("--name", help="The name that the catalog shows.")]
RoleOption = Annotated[str, typer.Option("--role", help="owner, mpc, both or detector.")]
DetectorToo = Annotated[bool, typer.Option("--detector", help="Watch other nodes, too, and judge them.")]
Listen = Annotated[str, typer.Option("--listen", help="HOST:PORT for other agents; port 0 takes a free one.")]
Advertise = Annotated[
    str | None, typer.Option("--advertise", help="HOST:PORT that others dial, when it differs.")
]
Operator = Annotated[
    str | None, typer.Option("--operator", help="The account that runs this node, for life; itself if none.")
]
PasswordFile = Annotated[Path, typer.Option("--password-file", help="Its first line opens the keystore.")]
OperatorKey = Annotated[Path | None, typer.Option("--operator-key-file", help="The operator's keystore.")]
OperatorPassword = Annotated[
    Path | None, typer.Option("--operator-password-file", help="Opens that keystore.")
]


@command
def init_command(
    coordinator: Coordinator,
    rpc: Rpc,
    name: Name,
    role: RoleOption,
    listen: Listen,
    password_file: PasswordFile,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    ca_file: CaFile = None,
    rpc_ws: RpcWs = None,
    deployment: DeploymentFile = None,
    advertise: Advertise = None,
    operator: Operator = None,
    detector: DetectorToo = False,
    json_output: Json = False,
) -> None:
    """Make a new agent: account, TLS key, policy and configuration. Nothing is sent yet."""
    folder = DataFolder(data_dir.expanduser().absolute())
    if folder.config.exists() or folder.keystore.exists():
        raise AgentError(f"there is an agent in {folder.path} already; choose another --data-dir")
    if role not in ROLES:
        raise WrongUsage(f"--role is owner, mpc, both or detector, not {role!r}")
    operator_account = _account(operator) if operator else None
    address = resolve_listen(listen)
    profile = _measured(name, advertised(address, advertise), folder.path)
    password = read_password(password_file)
    with busy("Asking the coordinator and the chain …", json_output):
        network = asyncio.run(join_network(coordinator, ca_file, rpc, deployment))
    folder.create()
    signer = create_keystore(folder.keystore, password)
    settings = AgentSettings(
        name=name,
        role=role,
        detector=detector,
        operator=operator_account or signer.account,
        coordinator=coordinator,
        chain_rpc=rpc,
        chain_websocket=rpc_ws,
        listen=address,
        endpoint=profile.endpoint,
        password_file=password_file.absolute(),
    )
    write_private(folder.tls_key, new_tls_key())
    write_private(folder.profile, profile.model_dump_json(indent=2).encode())
    write_private(folder.policy, DEFAULT_POLICY.encode())
    network.save(folder.network)
    save_settings(folder.config, settings)
    answer(
        {
            "account": signer.account,
            "operator": settings.operator,
            "endpoint": settings.endpoint,
            "role": role,
        },
        json_output,
        f"Made {role} node [bold]{name}[/bold] with account {signer.account}, to be reached at {settings.endpoint}.",
        f"Read its policy in {folder.policy}, then run [bold]soter-node register[/bold].",
    )


@command
def register_command(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    operator_key_file: OperatorKey = None,
    operator_password_file: OperatorPassword = None,
    json_output: Json = False,
) -> None:
    """Sign the registration and have it relayed to the chain; brings back the TLS certificate. Safe to repeat."""
    folder = DataFolder(data_dir.expanduser().absolute())
    settings, network = load_settings(folder.config), Network.load(folder.network)
    signer = open_signer(folder.keystore, settings.password_file)
    operator = _operator_signer(settings, operator_key_file, operator_password_file)
    with busy("Registering on chain …", json_output):
        done = asyncio.run(register(folder, settings, network, signer, operator))
    answer(
        {
            "account": done.account,
            "operator": done.operator,
            "incarnation": done.incarnation,
            "transaction": done.transaction_hash,
        },
        json_output,
        f"Registered {done.account} (incarnation {done.incarnation})"
        + (
            f" in transaction {done.transaction_hash}."
            if done.transaction_hash
            else "; it stood on chain already."
        ),
        "Start it with [bold]soter-node run[/bold].",
    )


@command
def unregister_command(data_dir: DataDir = DEFAULT_DATA_DIR, json_output: Json = False) -> None:
    """Leave the network: the coordinator forgets this node and its datasets. The account may register anew."""
    folder = DataFolder(data_dir.expanduser().absolute())
    settings, network = load_settings(folder.config), Network.load(folder.network)
    if folder.locked():
        raise AgentError("the agent is running; stop it first, then unregister")
    with busy("Ending the registration on chain …", json_output):
        transaction = asyncio.run(_leave(folder, settings, network))
    answer(
        {"transaction": transaction},
        json_output,
        f"Unregistered in transaction {transaction}. The keystore stays in {folder.path}.",
    )


async def _leave(folder: DataFolder, settings: AgentSettings, network: Network) -> str:
    identity = open_identity(folder, settings.password_file, network.description.ca_pem)
    link = CoordinatorLink(network.description.agents_address, identity.ca_pem, identity.tls)
    try:
        transaction = await unregister(settings, network, identity.signer, link)
    finally:
        await link.close()
    folder.tls_certificate.unlink()
    store = Store.open(folder.store)
    for dataset in store.datasets.all():
        store.datasets.delete(dataset.id)
    store.close()
    return transaction


def resolve_listen(listen: str) -> str:
    """Return host:port with a free port in place of 0; WrongUsage or AgentError when it cannot be listened on."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise WrongUsage(f"--listen is HOST:PORT, not {listen!r}")
    bare = host.strip("[]")
    try:
        family = socket.AF_INET6 if ":" in bare else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((bare, int(port)))
            return f"{host}:{probe.getsockname()[1]}"
    except OSError as error:
        raise AgentError(
            f"cannot listen on {listen}: it is taken or not an address of this machine"
        ) from error


def advertised(listen: str, advertise: str | None) -> str:
    """Return the endpoint that others dial; a wildcard address needs one of its own, whose port 0 is the listener's."""
    host, _, port = (advertise or listen).rpartition(":")
    if host in ("0.0.0.0", "[::]", ""):  # noqa: S104
        raise WrongUsage(
            "others cannot dial a wildcard address; give the one that they reach with --advertise"
        )
    return f"{host}:{listen.rpartition(':')[2] if port == '0' else port}"


def _measured(name: str, endpoint: str, path: Path) -> NodeProfile:
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    try:
        return measure_profile(name, endpoint, existing)
    except ValidationError as error:
        raise WrongUsage(f"the node cannot be described: {describe(error)}") from error


def _account(text: str) -> Account:
    try:
        return account(text)
    except ValueError as error:
        raise WrongUsage(f"--operator {text!r} is not an account") from error


def _operator_signer(
    settings: AgentSettings, keystore: Path | None, password_file: Path | None
) -> Signer | None:
    return open_signer(keystore, password_file or settings.password_file) if keystore else None
