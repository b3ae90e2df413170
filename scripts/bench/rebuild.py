"""How long `soter-coordinator rebuild` takes for 10,000 queries, on SQLite and on PostgreSQL.

    python -m scripts.bench.rebuild [--queries 10000]

Exit 1 when the floor is missed.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.bench.long_history import LongHistory
from scripts.devnet.anvil import DEVELOPER_KEYS, Anvil
from scripts.devnet.network import BIN
from scripts.devnet.postgres import running_postgres
from scripts.devnet.process import run
from soterone.chain.deploying import deploy
from soterone.chain.deployment import Deployment

FLOOR_SECONDS, PATIENCE_SECONDS = 60.0, 600.0


@dataclass(frozen=True, slots=True)
class Figures:
    """`processor_seconds` tells a slow program from a busy machine."""

    seconds: float
    processor_seconds: float


def main() -> None:
    """Make the history once, rebuild from it into each database, print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=10_000)
    queries = parser.parse_args().queries
    with tempfile.TemporaryDirectory(prefix="soterone-rebuild-") as name, running_postgres() as postgres:
        folder = Path(name)
        with long_chain(folder, queries) as (chain, deployment):
            figures = {
                kind: measure(folder / kind, chain, deployment, url, queries)
                for kind, url in (("sqlite", ""), ("postgresql", postgres.url()))
            }
    shown = {kind: asdict(one) for kind, one in figures.items()}
    print(json.dumps({"queries": queries, "floor_seconds": FLOOR_SECONDS, **shown}))
    sys.exit(any(one.seconds > FLOOR_SECONDS for one in figures.values()))


@contextmanager
def long_chain(folder: Path, queries: int) -> Iterator[tuple[Anvil, Deployment]]:
    """Yield a chain with so many queries in its past."""
    chain = Anvil(folder)
    chain.start()
    try:
        deployment = deploy(chain.url, DEVELOPER_KEYS[0])
        chain.rpc("evm_setAutomine", False)
        chain.rpc("evm_setBlockGasLimit", hex(10**9))
        began = time.monotonic()
        LongHistory(chain, deployment).play(queries)
        print(f"{queries} queries are on the chain after {time.monotonic() - began:.1f} s", file=sys.stderr)
        yield chain, deployment
    finally:
        chain.stop()


def measure(folder: Path, chain: Anvil, deployment: Deployment, url: str, queries: int) -> Figures:
    """Return what the command takes from its start to its end."""
    folder.mkdir()
    deployment.save(folder / "deployment.json")
    (folder / "payer.key").write_text(DEVELOPER_KEYS[0])
    log, where = folder / "commands.log", ("--data-dir", str(folder / "data"))
    program = str(BIN / "soter-coordinator")
    init = [
        *(program, "init", *where, "--chain-rpc", chain.url, "--database-url", url),
        *("--deployment", str(folder / "deployment.json"), "--key-file", str(folder / "payer.key")),
    ]
    run("init", init, log, {}, PATIENCE_SECONDS)
    run("migrate", [program, "migrate", *where], log, {}, PATIENCE_SECONDS)
    began, used_before = time.monotonic(), used_seconds()
    report = json.loads(run("rebuild", [program, "rebuild", *where, "--json"], log, {}, PATIENCE_SECONDS))
    figures = Figures(round(time.monotonic() - began, 1), round(used_seconds() - used_before, 1))
    if report["queries"] != queries:
        raise RuntimeError(f"{report['queries']} of {queries} queries came back")
    print(f"{folder.name}: {figures}, {report}", file=sys.stderr)
    return figures


def used_seconds() -> float:
    """Return the processor time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
