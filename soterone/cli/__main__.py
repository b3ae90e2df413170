"""The command `soter`. Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 unreachable."""

import sys

import typer

from soterone.cli import audit, catalog, login, queries
from soterone.cli.output import errors, plain
from soterone.client.errors import ClientError, Unreachable
from soterone.crypto.accounts import KeystoreError
from soterone.crypto.sealing import SealingError

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="Train models on data that nobody shows."
)
app.command()(login.login)
app.command()(catalog.datasets)
app.command()(catalog.nodes)
app.command()(catalog.reputation)
app.command()(catalog.claims)
app.add_typer(queries.app, name="query")
app.command()(queries.rate)
app.command()(audit.audit)


def main() -> None:
    """Run the command and turn every failure into a sentence and an exit status."""
    try:
        app()
    except Unreachable as error:
        errors.print(f"[red]unreachable:[/red] {plain(error)}", highlight=False, soft_wrap=True)
        sys.exit(3)
    except (ClientError, KeystoreError, SealingError, OSError) as error:
        errors.print(f"[red]refused:[/red] {plain(error)}", highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
