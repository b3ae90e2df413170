"""How commands speak: a person reads Rich, a program one JSON object; an error is one sentence and an exit status."""

import functools
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer
from rich.console import Console
from rich.markup import escape

from node_agent.errors import AgentError
from soterone.domain.text import printable

P = ParamSpec("P")

DataDir = Annotated[
    Path,
    typer.Option("--data-dir", envvar="SOTER_NODE_DATA_DIR", help="The agent's folder.", show_default=True),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
DEFAULT_DATA_DIR = Path("~/.soter-node")


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Turn an AgentError, or a file that fails, into a sentence and exit status; with --json as JSON on stdout."""

    @functools.wraps(function)
    def reported(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except AgentError as error:
            _complain(str(error), as_json=bool(kwargs.get("json_output")))
            raise typer.Exit(error.exit_status) from error
        except (OSError, sqlite3.Error) as error:
            _complain(f"a file of the agent cannot be used: {error}", as_json=bool(kwargs.get("json_output")))
            raise typer.Exit(1) from error
        except KeyboardInterrupt:
            raise typer.Exit(130) from None

    return reported


def answer(document: dict[str, Any], as_json: bool, *lines: Any) -> None:
    """Print a result: the document as one JSON line, or the lines (Rich renderables) for a person."""
    if as_json:
        print(json.dumps(document), flush=True)
        return
    console = Console()
    for line in lines:
        console.print(line)


@contextmanager
def busy(sentence: str, as_json: bool) -> Iterator[None]:
    """Show on stderr that something takes a while, when somebody watches."""
    if as_json:
        yield
        return
    with Console(stderr=True).status(sentence):
        yield


def _complain(sentence: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"error": sentence}), flush=True)
    else:
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"[red]Error:[/red] {escape(printable(sentence))}"
        )
