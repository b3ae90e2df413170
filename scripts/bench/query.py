"""One whole query through a real network: how long each step takes, and what the idle parties hold in memory.

    python -m scripts.bench.query [--owners GUEST.csv HOST.csv] [--epochs 10] [--batch-size 64]

Without tables it takes the demo's. Given ones share the column `id`; the guest has the label `y`. Exit 1 when a floor
is missed.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import psutil

from scripts.demo.hospitals import KEY, LABEL, Hospital, split
from scripts.demo.recorder import Recorder
from scripts.devnet.network import Devnet
from soterone.chain.events import QueryCompleted, QueryDispatched
from soterone.chain.records import Contracts
from soterone.client.customer import Customer
from soterone.client.reference import ClearTable, train_in_clear
from soterone.crypto.accounts import Signer
from soterone.domain.spec import QuerySpec, Training
from soterone.rest.queries import QueryEvent

IDLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class QueryFigures:
    """Seconds since QueryDispatched was mined (`total_seconds`: since the order was signed); megabytes resident."""

    accepted_seconds: float
    linked_seconds: float
    total_seconds: float
    joint_auc: float
    clear_auc: float
    agent_megabytes: float
    coordinator_megabytes: float


def read_table(path: Path, name: str) -> Hospital:
    """Return one owner's table from a CSV file."""
    with path.open(newline="") as file:
        header, *rows = list(csv.reader(file))
    columns = {
        column: np.array([float(row[i]) for row in rows]) for i, column in enumerate(header) if column != KEY
    }
    label = columns.pop("y", None)
    return Hospital(name, [row[header.index(KEY)] for row in rows], columns, label)


def measure(folder: Path, tables: tuple[Hospital, Hospital], training: Training) -> QueryFigures:
    """Bring a network up inside `folder`, run one query and take it down again."""
    network = Devnet(folder)
    try:
        return _measure(network, tables, training)
    finally:
        network.stop()


def _measure(network: Devnet, tables: tuple[Hospital, Hospital], training: Training) -> QueryFigures:
    network.start_chain()
    contracts = Contracts.of(network.deploy())
    network.start_coordinator()
    for table in tables:
        _add_owner(network, table)
    for name in ("ada", "bela", "cleo"):
        network.add_agent(name, "mpc")
        network.start_agent(name)
    time.sleep(IDLE_SECONDS)
    agents = max(_megabytes(agent.process.pid) for agent in network.agents.values())
    coordinator = _megabytes(network.coordinator.pid) if network.coordinator else 0.0
    recorder = Recorder(network.rpc_url, contracts)
    recorder.start()
    try:
        with Customer.connect(
            network.rest_url, Signer.new(), network.rpc_url, network.ca_file, network.folder / "customer"
        ) as customer:
            query = customer.submit(_spec(customer, training))
            events = list(query.events())
            dispatched = recorder.time_of(query.id, QueryDispatched)
            completed = recorder.time_of(query.id, QueryCompleted)
            model = query.model()
    finally:
        recorder.stop()
    clear = train_in_clear([_clear(table, network.agents[table.name].account) for table in tables], training)
    return QueryFigures(
        _last(events, "accepted", 5) - dispatched,
        _last(events, "linked", 5) - dispatched,
        completed - query.signed_at,
        model.metrics["auc"],
        clear.metrics["auc"],
        agents,
        coordinator,
    )


def _add_owner(network: Devnet, table: Hospital) -> None:
    network.add_agent(table.name, "owner")
    network.start_agent(table.name)
    path = network.folder / f"{table.name}.csv"
    table.write(path)
    network.node(table.name, "dataset", "add", str(path), "--name", table.name, "--key", KEY)


def _spec(customer: Customer, training: Training) -> QuerySpec:
    datasets = list(customer.datasets())
    labelled = next(entry.metadata.id for entry in datasets if entry.metadata.column(LABEL))
    return QuerySpec.model_validate(
        {
            "name": "bench",
            "algorithm": "vertical-logistic-regression",
            "datasets": [entry.metadata.id for entry in datasets],
            "key": KEY,
            "label": {"dataset": labelled, "column": LABEL},
            "training": training.model_dump(),
        }
    )


def _clear(table: Hospital, account: str) -> ClearTable:
    return ClearTable(account, table.keys, table.columns, table.label)


def _last(events: list[QueryEvent], phase: str, parties: int) -> float:
    """Return the monotonic second at which the last party had entered a phase."""
    first: dict[str, float] = {}
    for event in events:
        if event.kind == "progress" and event.data["phase"] == phase:
            age = time.time() - datetime.fromisoformat(event.at).timestamp()
            first.setdefault(str(event.data["node"]), time.monotonic() - age)
    if len(first) != parties:
        raise RuntimeError(f"{len(first)} of {parties} parties told of the phase {phase}")
    return max(first.values())


def _megabytes(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 1e6


def missed(figures: QueryFigures, total_floor_seconds: float) -> list[str]:
    """Return the floors that were missed."""
    floors = {
        "every agent accepted": (figures.accepted_seconds, 1.5),
        "engines linked": (figures.linked_seconds, 6.0),
        "whole query": (figures.total_seconds, total_floor_seconds),
        "difference to the clear AUC": (abs(figures.joint_auc - figures.clear_auc), 0.001),
        "idle agent, MB": (figures.agent_megabytes, 120.0),
        "idle coordinator, MB": (figures.coordinator_megabytes, 200.0),
    }
    return [f"{name}: {value:.3f} > {floor}" for name, (value, floor) in floors.items() if value > floor]


def main() -> int:
    """Print the figures as JSON; exit 1 when a floor is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--owners", nargs=2, type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    options = parser.parse_args()
    training = Training(epochs=options.epochs, batch_size=options.batch_size)
    if options.owners:
        guest, host = (
            read_table(path, name) for path, name in zip(options.owners, ("guest", "host"), strict=True)
        )
    else:
        guest, host = split()
    with tempfile.TemporaryDirectory(prefix="soterone-bench-") as folder:
        figures = measure(Path(folder), (guest, host), training)
    complaints = missed(figures, total_floor_seconds=60.0 if options.owners else 30.0)
    print(json.dumps({**asdict(figures), "floors_missed": complaints}, indent=2))
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main())
