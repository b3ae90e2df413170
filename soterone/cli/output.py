"""How commands answer: a table for a person, or with `--json` the same as data on standard output."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from soterone.domain.text import printable

JsonFlag = Annotated[bool, typer.Option("--json", help="Answer as JSON on standard output.")]

console = Console()
errors = Console(stderr=True)


def plain(text: object) -> str:
    """Return what somebody else wrote as Rich shall show it: no markup of theirs, nothing that steers a terminal."""
    return escape(printable(str(text)))


def print_json(value: BaseModel | Sequence[BaseModel] | dict[str, Any]) -> None:
    """Print one JSON document."""
    if isinstance(value, BaseModel):
        document: Any = value.model_dump(mode="json")
    elif isinstance(value, dict):
        document = value
    else:
        document = [one.model_dump(mode="json") for one in value]
    typer.echo(json.dumps(document))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, its cells without any markup; says so when it is empty."""
    if not rows:
        console.print(f"[dim]{title}: none[/dim]")
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(plain, row))
    console.print(table)
