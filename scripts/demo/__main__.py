"""`make demo`: the main job, from registration to cleanup, on this machine."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from scripts.demo.mishap import Mishap, Victim
from scripts.demo.narrator import Narrator
from scripts.demo.story import DemoError, Story
from scripts.devnet.network import BIN, Devnet
from scripts.devnet.postgres import Postgres
from scripts.devnet.process import ProcessError
from soterone.chain.deployment import DEVNET
from soterone.client.errors import ClientError

DAYS_IN_SECONDS = replace(
    DEVNET, epoch_seconds=2, week_seconds=14, feedback_window_seconds=3600, silent_settle_seconds=3600
)
"""Reputation moves while one watches: a day takes two seconds."""

console = Console()


def main(
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the demo's figures here as JSON.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")] = False,
    kill: Annotated[
        Victim | None, typer.Option(help="Kill somebody in the middle of training, and watch what follows.")
    ] = None,
    postgres: Annotated[
        bool, typer.Option("--postgres", help="Two processes of every service over one PostgreSQL.")
    ] = False,
    folder: Annotated[Path | None, typer.Option(help="Where the network lives; must not exist.")] = None,
) -> None:
    """Two hospitals, four MPC nodes, one customer: train a model that nobody but the customer sees."""
    signal.signal(signal.SIGTERM, _interrupt)
    place = folder or Path(tempfile.mkdtemp(prefix="soterone-demo-"))
    if folder is not None and folder.exists():
        raise typer.BadParameter(f"{folder} exists already: name a folder that the demo may make")
    place.mkdir(exist_ok=True, parents=True)
    network = Devnet(
        place.resolve(), DAYS_IN_SECONDS, postgres=Postgres(place.resolve()) if postgres else None
    )
    failed = True
    try:
        narrator = Narrator(console)
        story = Story(network, narrator, Mishap(kill, network, narrator) if kill else None)
        account = story.tell()
        if json_file is not None:
            json_file.write_text(json.dumps(account.as_dict(), indent=2) + "\n")
        failed = bool(account.leftovers) or not account.audit["ok"]
        if keep:
            story.narrator.finish(_next_steps(network))
            _wait_for_ever()
    except KeyboardInterrupt:
        console.print("\ninterrupted; everything is being stopped")
        failed = not keep
    except (DemoError, ProcessError, ClientError, TimeoutError) as error:
        console.print(f"[red]the demo failed:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        network.stop()
        if failed:
            console.print(f"[dim]logs are in {place / 'logs'}[/dim]")
        elif folder is None:
            shutil.rmtree(place)
    sys.exit(1 if failed else 0)


def _next_steps(network: Devnet) -> str:
    home = network.folder / "customer"
    login = (
        f"login --coordinator {network.rest_url} --rpc {network.rpc_url} \\\n    --ca-file {network.ca_file} "
        f"--keystore {home / 'keystore.json'}"
    )
    return (
        "[bold]everything goes on running; Ctrl-C ends it[/bold]\n\n"
        f"chain        {network.rpc_url}\ncoordinator  {network.rest_url} (API: /openapi.json, figures: /metrics)\n"
        f"folders      {network.folder}\n"
        f"keys         coordinator.key, NODE/keystore.json with NODE.password, {home / 'keystore.json'}\n\n"
        f"export SOTER_HOME={home} SOTER_PASSWORD_FILE={home / 'password'}\n"
        f"{BIN / 'soter'} {login}\n"
        f"{BIN / 'soter'} datasets\n{BIN / 'soter'} query list\n"
        f"{BIN / 'soter'} audit --rpc {network.rpc_url} --deployment {network.deployment_file}"
    )


def _wait_for_ever() -> None:
    while True:
        time.sleep(3600)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    typer.run(main)
