"""`soter datasets`, `soter nodes`, `soter reputation`: what there is to choose from."""

from typing import Annotated

import typer

from soterone.cli.home import Home
from soterone.cli.output import JsonFlag, console, print_json, print_table
from soterone.crypto.accounts import account
from soterone.domain.metadata import ColumnMetadata
from soterone.domain.roles import Role
from soterone.rest.catalog import NodeEntry


def datasets(
    text: Annotated[str | None, typer.Option(help="Part of a name, description or column.")] = None,
    tag: Annotated[str | None, typer.Option(help="A tag that the owner gave.")] = None,
    owner: Annotated[str | None, typer.Option(help="The owner's account.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the datasets that may be queried."""
    with Home.current().open() as customer:
        found = list(customer.datasets(text, tag, owner))
    if as_json:
        print_json(found)
        return
    rows = [
        (
            entry.metadata.id,
            entry.metadata.name,
            entry.owner,
            f"{entry.metadata.rows_at_least}–{entry.metadata.rows_below}",
            ", ".join(_column(column) for column in entry.metadata.columns),
            "yes" if entry.online else "no",
        )
        for entry in found
    ]
    print_table("Datasets", ("id", "name", "owner", "rows", "columns", "online"), rows)


def nodes(as_json: JsonFlag = False) -> None:
    """List the nodes with their public standing."""
    with Home.current().open() as customer:
        found = list(customer.nodes())
    if as_json:
        print_json(found)
        return
    rows = [
        (
            entry.account,
            entry.name,
            ", ".join(role.name.lower().replace("_", " ") for role in Role(entry.roles) if role.name),
            entry.version,
            _cores(entry),
            f"{entry.score:.3f}",
            f"{entry.statistics.completed}/{entry.statistics.chosen}",
            "yes" if entry.online else "no",
        )
        for entry in found
    ]
    print_table(
        "Nodes", ("account", "name", "roles", "version", "cores", "score", "completed", "online"), rows
    )


def reputation(
    node: Annotated[str, typer.Argument(help="The account of a node or customer.")], as_json: JsonFlag = False
) -> None:
    """Show an account's standing and how it came about; the score is read from the chain itself."""
    with Home.current().open() as customer:
        view = customer.reputation(node)
        (score,) = customer.ledger.scores_of([account(view.account)])
    if as_json:
        print_json({**view.model_dump(mode="json"), "score_on_chain": score})
        return
    console.print(
        f"[bold]{view.account}[/bold] score {score / 1e9:.3f}, credibility {view.credibility / 1e9:.3f}"
    )
    steps = [(step.query_id, str(step.block), f"{step.score / 1e9:.3f}") for step in view.history]
    print_table("History", ("query", "block", "score"), steps)


def _cores(entry: NodeEntry) -> str:
    """`2 of 16` where detectors measured 2 and the node declared 16."""
    declared = str(entry.cpu_cores)
    return declared if entry.measured_in is None else f"{entry.verified_cpu_cores} of {declared}"


def _column(column: ColumnMetadata) -> str:
    kind = f"{column.key_kind} key" if column.kind == "key" else column.kind
    return f"{column.name} ({kind})"
