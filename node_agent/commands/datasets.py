"""`dataset add | list | remove`: what an owner lends, shown exactly as it will be published."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.markup import escape
from rich.table import Table

from node_agent.commands.reporting import DEFAULT_DATA_DIR, DataDir, Json, answer, busy, command
from node_agent.coordinator_link import CoordinatorLink
from node_agent.datasets.catalog import draft, publish, withdraw
from node_agent.datasets.commitment import committed, open_committed
from node_agent.datasets.inspection import Inspection, file_source, inspect_table, sql_source
from node_agent.errors import AgentError, WrongUsage
from node_agent.folder import DataFolder
from node_agent.identity import open_signer, open_tls
from node_agent.network import Network
from node_agent.policy_gate import read_policy
from node_agent.settings import load_settings
from node_agent.store import Store
from node_agent.store.datasets import StoredDataset
from node_agent.tables import TableSource
from soterone.domain.metadata import ColumnMetadata
from soterone.domain.roles import Role

T = TypeVar("T")
app = typer.Typer(help="The tables that this owner lends.", no_args_is_help=True)

File = Annotated[Path | None, typer.Argument(help="A CSV or Parquet file.", show_default=False)]
Sql = Annotated[
    str | None, typer.Option("--sql", help="A SQLite or DuckDB file, or postgresql:// or mysql://.")
]
TableName = Annotated[str | None, typer.Option("--table", help="The table of that database.")]
Name = Annotated[str, typer.Option("--name", help="The dataset's name in the catalog.")]
Key = Annotated[
    str | None, typer.Option("--key", help="The column that identifies a row; id if none is given.")
]
About = Annotated[str, typer.Option("--description", help="A sentence for the catalog.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="A tag for the catalog; may be repeated.")]
Hide = Annotated[list[str] | None, typer.Option("--hide", help="A column to leave out; may be repeated.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")]


@app.command("add")
@command
def add_command(
    name: Name,
    file: File = None,
    sql: Sql = None,
    table: TableName = None,
    key: Key = None,
    description: About = "",
    tag: Tags = None,
    hide: Hide = None,
    dry_run: DryRun = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json_output: Json = False,
) -> None:
    """Publish a table's masked metadata: names, kinds, coarse ranges and a row bucket; never a row."""
    folder = DataFolder(data_dir.expanduser().absolute())
    settings = load_settings(folder.config)
    if not settings.roles & Role.DATA_OWNER:
        raise AgentError("this node is an MPC node only; datasets belong to a data owner")
    inspection = Inspection(_source(file, sql, table), key)
    with busy("Looking at the table …", json_output):
        shape = inspect_table(inspection)
    store = Store.open(folder.store)
    known = {column.name for column in shape.columns} - {shape.key}
    hidden = frozenset(hide or ()) | (known & set(read_policy(folder.policy).hidden_columns))
    dataset = draft(store, inspection, shape, name, description, tag or (), hidden)
    if not dry_run:
        with busy("Committing to the rows …", json_output):
            signer = open_signer(folder.keystore, settings.password_file)
            registry = Network.load(folder.network).domain("NodeRegistry")
            dataset = committed(dataset, signer, registry)
        with busy("Publishing …", json_output):
            asyncio.run(_with_link(folder, lambda link: publish(store, link, dataset)))
    answer(
        {
            "dataset_id": dataset.id,
            "published": not dry_run,
            "sent": dataset.metadata.model_dump(mode="json"),
        },
        json_output,
        _sent_table(dataset, sent=not dry_run),
        _closing(dataset, dry_run),
    )


@app.command("list")
@command
def list_command(data_dir: DataDir = DEFAULT_DATA_DIR, json_output: Json = False) -> None:
    """List this owner's datasets."""
    folder = DataFolder(data_dir.expanduser().absolute())
    load_settings(folder.config)
    datasets = Store.open(folder.store).datasets.all()
    listing = Table("name", "id", "rows", "columns", "published", "source")
    for one in datasets:
        rows = f"{one.metadata.rows_at_least} to {one.metadata.rows_below}"
        published = "yes" if one.published else "no"
        source = escape(describe_source(one.source))
        listing.add_row(escape(one.metadata.name), one.id, rows, str(len(one.columns)), published, source)
    answer(
        {
            "datasets": [
                {
                    "id": one.id,
                    "published": one.published,
                    "source": describe_source(one.source),
                    "metadata": one.metadata.model_dump(mode="json"),
                }
                for one in datasets
            ]
        },
        json_output,
        listing if datasets else "No datasets yet; add one with [bold]soter-node dataset add[/bold].",
    )


@app.command("prove")
@command
def prove_command(
    dataset: Annotated[str, typer.Argument(help="Name or id.")],
    row: Annotated[
        int, typer.Option("--row", min=0, help="Its place in the order of the key; 0: the header.")
    ],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json_output: Json = False,
) -> None:
    """Open one row of the commitment for a dispute. What is printed holds the row: show it to nobody else."""
    folder = DataFolder(data_dir.expanduser().absolute())
    load_settings(folder.config)
    store = Store.open(folder.store)
    known = store.datasets.named(dataset) or store.datasets.get(dataset)
    if known is None or known.metadata.commitment is None:
        raise AgentError(f"there is no dataset {dataset!r} with a commitment; see `soter-node dataset list`")
    opening = open_committed(known, row)
    answer(
        {
            "dataset_id": known.id,
            **known.metadata.commitment.model_dump(),
            "opening": {
                "place": opening.place,
                "leaves": opening.leaves,
                "salt": opening.salt.hex(),
                "values": list(opening.values),
                "path": [one.hex() for one in opening.path],
            },
        },
        json_output,
        f"Row {row} of {known.metadata.name} stands under the root {known.metadata.commitment.root}.",
        "Give --json to print the proof.",
    )


@app.command("remove")
@command
def remove_command(
    dataset: Annotated[str, typer.Argument(help="Name or id.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json_output: Json = False,
) -> None:
    """Take a dataset out of the catalog. The table itself is not touched."""
    folder = DataFolder(data_dir.expanduser().absolute())
    load_settings(folder.config)
    store = Store.open(folder.store)
    with busy("Withdrawing …", json_output):
        gone = asyncio.run(_with_link(folder, lambda link: withdraw(store, link, dataset)))
    answer({"dataset_id": gone.id, "removed": True}, json_output, f"Removed {escape(gone.metadata.name)}.")


def describe_source(source: TableSource) -> str:
    """Say where a table is, without a database's user or password."""
    scheme, separator, rest = source.location.partition("://")
    where = f"{scheme}://{rest.rpartition('@')[2]}" if separator else source.location
    return f"{where} ({source.table})" if source.table else where


def _source(file: Path | None, sql: str | None, table: str | None) -> TableSource:
    if (file is None) == (sql is None):
        raise WrongUsage("give either a file or --sql with --table")
    return file_source(file) if file else sql_source(sql or "", table)


async def _with_link(folder: DataFolder, work: Callable[[CoordinatorLink], Awaitable[T]]) -> T:
    network = Network.load(folder.network).description
    link = CoordinatorLink(network.agents_address, network.ca_pem.encode(), open_tls(folder))
    try:
        return await work(link)
    finally:
        await link.close()


def _sent_table(dataset: StoredDataset, sent: bool) -> Table:
    metadata = dataset.metadata
    rows = f"{metadata.rows_at_least} to {metadata.rows_below} rows"
    title = f"What {'was' if sent else 'would be'} sent: {escape(metadata.name)}, {rows}"
    table = Table("column", "published as", "kind", "range", title=title, title_justify="left")
    for column in metadata.columns:
        own = dataset.columns[column.name]
        table.add_row(escape(own), escape(column.name), column.key_kind or column.kind, _range(column))
    return table


def _range(column: ColumnMetadata) -> str:
    if column.kind == "key":
        return "key; no value leaves this machine"
    if column.range_low is None or column.range_high is None:
        return "masked" if column.masked else ""
    return f"{column.range_low:g} to {column.range_high:g}"


def _closing(dataset: StoredDataset, dry_run: bool) -> str:
    return "Nothing was sent." if dry_run else f"Published as {dataset.id}."
