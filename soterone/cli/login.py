"""`soter login`: choose a network and a wallet, and sign in."""

import os
from pathlib import Path
from typing import Annotated

import typer

from soterone.cli.home import PASSWORD_VARIABLE, Home, LockedWallet, Network, read_password
from soterone.cli.output import JsonFlag, console, plain, print_json
from soterone.client.customer import Customer
from soterone.crypto.accounts import create_keystore


def login(
    coordinator: Annotated[str, typer.Option(help="The coordinator's address, https://…")],
    rpc: Annotated[str, typer.Option(help="The RPC address of a chain node that you trust.")],
    ca_file: Annotated[Path | None, typer.Option(help="The coordinator's certificate authority.")] = None,
    keystore: Annotated[Path | None, typer.Option(help="Your keystore; made when it is not there.")] = None,
    password_file: Annotated[
        Path | None, typer.Option(envvar=PASSWORD_VARIABLE, help="A file with its password.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Sign in at a coordinator with your wallet; later commands use the same."""
    home = Home.current()
    path = (keystore or home.folder / "keystore.json").absolute()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        create_keystore(path, read_password(password_file, f"New password for {path}", confirm=True))
    ca = ca_file.absolute() if ca_file else None
    network = Network(coordinator=coordinator, rpc=rpc, ca_file=ca, keystore=path)
    wallet = LockedWallet(path, password_file)
    with Customer.connect(coordinator, wallet, rpc, ca, home.folder) as customer:
        home.remember(network, customer.transport.token or "")
    if as_json:
        print_json(
            {"account": wallet.account, "coordinator": coordinator, "chain_id": customer.network.chain_id}
        )
        return
    console.print(f"signed in at {plain(coordinator)} as [bold]{wallet.account}[/bold]")
    if PASSWORD_VARIABLE not in os.environ:
        console.print(f"[dim]set {PASSWORD_VARIABLE} to a file to be asked for no password[/dim]")
