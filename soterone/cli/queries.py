"""`soter query …` and `soter rate`: order, follow, open and rate."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.prompt import Confirm

from soterone.cli.home import Home
from soterone.cli.output import JsonFlag, console, plain, print_json, print_table
from soterone.client.errors import ClientError, QueryFailed
from soterone.client.model import Model
from soterone.client.query import Query
from soterone.domain.spec import QuerySpec, SpecError, parse_spec
from soterone.rest.queries import QueryEvent, QueryView

app = typer.Typer(no_args_is_help=True, help="Order queries and look after them.")
QueryIdArgument = Annotated[str, typer.Argument(help="The query's id, 0x and 64 digits.")]


@app.command()
def submit(
    spec_file: Annotated[Path, typer.Argument(help="The spec, YAML or JSON; see docs/protocol.md.")],
    watch_it: Annotated[bool, typer.Option("--watch", help="Follow the query to its end.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Propose a query, sign the order and launch it."""
    spec = _read_spec(spec_file)
    with Home.current().open() as customer:
        with nullcontext() if as_json else console.status("reserving nodes"):
            query = customer.submit(spec)
        if not as_json:
            console.print(f"query [bold]{query.id}[/bold] is launched")
        if watch_it:
            _follow(query, as_json)
        if as_json:
            print_json(query.view())


@app.command("list")
def list_queries(as_json: JsonFlag = False) -> None:
    """List your queries, newest first."""
    with Home.current().open() as customer:
        found = list(customer.queries())
    if as_json:
        print_json(found)
        return
    rows = [(view.id, view.name, _status(view), view.created_at) for view in found]
    print_table("Queries", ("id", "name", "status", "ordered at"), rows)


@app.command()
def show(query_id: QueryIdArgument, as_json: JsonFlag = False) -> None:
    """Show how a query stands."""
    with Home.current().open() as customer:
        view = customer.query(query_id).view()
    if as_json:
        print_json(view)
        return
    console.print(f"[bold]{plain(view.name)}[/bold] {view.id}: {_status(view)}")
    if view.failure:
        console.print(f"[red]{plain(view.failure.sentence)}[/red]")
    rows = [
        (one.account, one.role, one.phase, f"{one.fraction:.0%}", one.detail) for one in view.participants
    ]
    print_table("Participants", ("account", "role", "phase", "done", "detail"), rows)


@app.command()
def watch(query_id: QueryIdArgument, as_json: JsonFlag = False) -> None:
    """Follow a query to its end, with --json a line an event; exit status 1 when it ends without a model."""
    with Home.current().open() as customer:
        _follow(customer.query(query_id), as_json)


@app.command()
def result(
    query_id: QueryIdArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the model as JSON here.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Fetch the sealed result, check it against the chain, open it and show the model."""
    with Home.current().open() as customer:
        model = customer.query(query_id).model()
    if output is not None:
        output.touch(mode=0o600)
        output.write_text(model.to_json())
    if as_json:
        typer.echo(model.to_json())
        return
    _print_model(model)


@app.command()
def cancel(
    query_id: QueryIdArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Take an order back."""
    if not (yes or as_json or Confirm.ask("Cancel the query? What was computed is lost.", console=console)):
        raise typer.Exit(1)
    with Home.current().open() as customer:
        query = customer.query(query_id)
        query.cancel()
        if as_json:
            print_json(query.view())
        else:
            console.print("the cancellation is on its way to the chain")


def rate(
    query_id: QueryIdArgument,
    ratings: Annotated[list[str], typer.Argument(help="ACCOUNT=PERCENT for each node.")],
    as_json: JsonFlag = False,
) -> None:
    """Rate nodes of a completed or failed query, 0 to 100 percent each; it stands on chain for ever."""
    parsed = dict(_rating(text) for text in ratings)
    with Home.current().open() as customer:
        customer.query(query_id).rate(parsed)
    if as_json:
        print_json({"query_id": query_id, "ratings": parsed})
    else:
        console.print("the rating is on its way to the chain")


def _follow(query: Query, as_json: bool) -> None:
    for event in query.events():
        if as_json:
            print_json(event)
        else:
            console.print(_line(event))
    view = query.view()
    if view.status != "completed":
        raise QueryFailed(view.failure.sentence if view.failure else f"the query was {view.status}")


def _line(event: QueryEvent) -> str:
    told = "  ".join(
        plain(f"{name} {value}") for name, value in event.data.items() if value not in (None, "")
    )
    return f"[dim]{plain(event.at)}[/dim] [bold]{plain(event.kind)}[/bold] {told}"


def _status(view: QueryView) -> str:
    return f"{view.status}, cleaned up" if view.cleaned_up else view.status


def _print_model(model: Model) -> None:
    rows = [(owner, name, f"{weight:+.4f}") for (owner, name), weight in model.weights.items()]
    print_table(f"Model (bias {model.bias:+.4f})", ("owner", "column", "weight"), rows)
    for name, value in model.metrics.items():
        console.print(
            f"{plain(name.replace('_', ' '))} on {model.holdout_rows} held-out rows: [bold]{value:.4f}[/bold]"
        )


def _read_spec(path: Path) -> QuerySpec:
    try:
        return parse_spec(path.read_bytes())
    except OSError as error:
        raise ClientError(f"the spec {path} cannot be read: {error.strerror}") from error
    except (SpecError, UnicodeDecodeError) as error:
        raise ClientError(f"{path}: {error}") from error


def _rating(text: str) -> tuple[str, int]:
    node, _, percent = text.partition("=")
    if not percent.isdecimal() or int(percent) > 100:
        raise typer.BadParameter(f"{text!r} is not ACCOUNT=PERCENT with a percent of 0 to 100")
    return node, int(percent)
