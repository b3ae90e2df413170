"""`run`: the agent in the foreground, until SIGTERM or Ctrl-C."""

import asyncio
import json
import signal
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from node_agent.agent import Ready, open_agent
from node_agent.commands.reporting import DEFAULT_DATA_DIR, DataDir, Json, command
from node_agent.errors import AgentError
from node_agent.folder import DataFolder
from node_agent.identity import open_identity
from node_agent.logs import configure_logs
from node_agent.memory import give_back_at_once
from node_agent.network import Network
from node_agent.settings import load_settings
from node_agent.work import QueryWork
from soterone.rpc.channels import BindError

DetectorToo = Annotated[
    bool,
    typer.Option(
        "--detector",
        help="Judge other nodes, too; needs that role on chain and a seat; without coins the coordinator relays.",
    ),
]
LogFile = Annotated[Path | None, typer.Option("--log-file", help="Where logs go instead of stderr.")]


@command
def run_command(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    log_file: LogFile = None,
    detector: DetectorToo = False,
    json_output: Json = False,
) -> None:
    """Run the agent; prints one JSON line when it is ready. Logs are JSON lines on stderr."""
    folder = DataFolder(data_dir.expanduser().absolute())
    configure_logs(log_file)
    load_settings(folder.config)
    give_back_at_once()
    with folder.lock():
        try:
            asyncio.run(_run(folder, detector))
        except BindError as error:
            raise AgentError(f"{error}; stop what uses it, or change `listen` in {folder.config}") from error


async def _run(folder: DataFolder, detector: bool) -> None:
    settings, network = load_settings(folder.config), Network.load(folder.network)
    if detector:
        settings = settings.model_copy(update={"detector": True})
    identity = open_identity(folder, settings.password_file, network.description.ca_pem)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        agent = await open_agent(folder, settings, network, identity, QueryWork, stack)
        await agent.run(stop, _print)


def _print(ready: Ready) -> None:
    print(json.dumps({"ready": True, **asdict(ready)}), flush=True)
