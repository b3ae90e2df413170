"""`soter datasets`, `soter nodes`, `soter reputation`, `soter claims`: what there is to choose from."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from soterone.cli.home import Home
from soterone.cli.output import JsonFlag, console, print_json, print_table
from soterone.client.inputs import typed_account
from soterone.domain.detection import Kind
from soterone.domain.metadata import ColumnMetadata
from soterone.domain.roles import Role
from soterone.rest.catalog import ClaimView, NodeEntry, ReputationStep


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
    node: Annotated[str, typer.Argument(help="The account of a node or customer.")],
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many steps of its history at most.")] = 20,
    chain: Annotated[
        bool,
        typer.Option("--chain", help="Read the history from the chain itself, not from the coordinator."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show an account's standing and how it came about. What the coordinator says of one block is compared with the
    chain at that block."""
    with Home.current().open() as customer:
        known = typed_account(node)
        view = customer.reputation(known, limit)
        standing = customer.confirm_reputation(known, view)
        own = customer.ledger.history_of(known, limit) if chain else ()
        history = [ReputationStep.of(step) for step in own] if chain else view.history
    if as_json:
        document = {**view.model_dump(mode="json"), "score_on_chain": standing.score}
        print_json({**document, "history": [step.model_dump(mode="json") for step in history]})
        return
    console.print(
        f"[bold]{known}[/bold] {view.status}, score {view.score / 1e9:.3f} = min(expectation "
        f"{view.expectation / 1e9:.3f}, tenure cap {view.tenure_cap / 1e9:.3f}), drawn by "
        f"{view.lower_bound / 1e9:.3f}, credibility {view.credibility / 1e9:.3f}, as of block {view.block} "
        f"({_when(standing.block.timestamp)})",
        highlight=False,
    )
    columns = ("time", "block", "what", "query or customer", "score", "good", "bad")
    print_table("History", columns, [_row(step) for step in history])


def claims(
    node: Annotated[str, typer.Argument(help="The account of a node.")], as_json: JsonFlag = False
) -> None:
    """List what detectors upheld against a node, and whether it stands."""
    with Home.current().open() as customer:
        found = customer.claims(node)
    if as_json:
        print_json(found)
        return
    columns = ("claim", "about", "severity", "epoch", "status", "measured", "evidence added")
    print_table("Claims", columns, [_claim_row(claim) for claim in found])


def _claim_row(claim: ClaimView) -> tuple[str, ...]:
    status = claim.status if claim.status != "appealed" else f"appealed, heard in epoch {claim.appeal_epoch}"
    figures = (str(claim.severity), str(claim.epoch), status, _measured(claim), f"{claim.added / 1e9:.3f}")
    return (claim.claim_id, Kind(claim.kind).name.lower(), *figures)


def _measured(claim: ClaimView) -> str:
    if claim.measured_cpu_cores is None or claim.measured_memory_bytes is None:
        return ""
    return f"{claim.measured_cpu_cores} cores, {claim.measured_memory_bytes // 2**20} MiB"


def _row(step: ReputationStep) -> tuple[str, ...]:
    figures = (step.score, step.good, step.bad)
    moved = ["" if figure is None else f"{figure / 1e9:.3f}" for figure in figures]
    return (_when(step.time), str(step.block), _deed(step), step.customer or step.query_id or "", *moved)


def _when(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _deed(step: ReputationStep) -> str:
    """Say what a step was, with its one figure."""
    for figure, form in ((step.percent, "{} {} %"), (step.severity, "{}, severity {}")):
        if figure is not None:
            return form.format(step.cause, figure)
    return step.cause if step.incarnation is None else f"{step.cause}, incarnation {step.incarnation}"


def _cores(entry: NodeEntry) -> str:
    """`2 of 16` where the node declared 16 and is planned with as 2."""
    declared, planned = entry.cpu_cores, entry.verified_cpu_cores
    return str(declared) if planned == declared else f"{planned} of {declared}"


def _column(column: ColumnMetadata) -> str:
    kind = f"{column.key_kind} key" if column.kind == "key" else column.kind
    return f"{column.name} ({kind})"
