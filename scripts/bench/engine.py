"""The engine against bare SPU: the same training loop over the same TLS, data and steps, with and without our engine.

    python -m scripts.bench.engine [--owners GUEST.csv HOST.csv] [--epochs 5] [--batch-size 1024] [--runs 3]

Without tables it trains on generated rows. The floor: our training phase takes at most 1.15 times bare SPU's, median
of runs that take turns.
"""

import argparse
import asyncio
import json
import multiprocessing
import shutil
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from node_agent.engines.base import Link
from node_agent.tables import TableSource, read_table
from scripts.bench.engine_parties import Owner, Session, new_links, run_session
from soterone.client.reconstruct import reconstruct
from soterone.client.reference import ClearTable, train_in_clear
from soterone.domain.spec import Training

FLOOR = 1.15


def bare_node(link: Link, directory: str, files: list[str], training: Training, answer: Connection) -> None:
    """Train as a plain SPU script would: load shares, compile, loop; answer the loop's seconds."""
    import os

    import spu

    from node_agent.engines.spu.program import Shapes, epoch_program
    from node_agent.engines.spu.session import session
    from node_agent.engines.spu.shares import runtime_config, to_share
    from soterone.domain.share_file import ShareFile

    shares = [ShareFile.from_bytes(Path(file).read_bytes()) for file in files]
    held, rows = shares[0].header.holdout_rows, shares[0].header.training_rows
    x = np.concatenate([share.arrays["x"][held:] for share in shares], axis=1)
    columns = x.shape[1]
    zeros = {"w": np.zeros((columns, 1, 2), np.uint64), "b": np.zeros((1, 1, 2), np.uint64)}
    with session(link, Path(directory), 60.0) as context:
        runtime = spu.Runtime(context, runtime_config())
        for name, pairs in ({"x": x, "y": shares[0].arrays["y"][held:]} | zeros).items():
            runtime.set_var(name, to_share(pairs))
        epoch = epoch_program(Shapes(rows, held, columns, False), training)
        context.all_gather("compiled")
        started = time.monotonic()
        for _ in range(training.epochs):
            runtime.run(epoch)
        answer.send(time.monotonic() - started)
    os._exit(0)


def run_bare(run: Session, training: Training) -> float:
    """Train on the shares that a session of the engine left; returns the slowest node's seconds."""
    links, _ = new_links(["0", "1", "2"])
    spawn = multiprocessing.get_context("spawn")
    answers, nodes = [], []
    for rank, link in enumerate(links):
        receiving, sending = spawn.Pipe(duplex=False)
        files = [str(run.root / f"mpc-{rank}" / f"owner-{owner}.bin") for owner in range(2)]
        scratch = run.root / f"bare-{rank}"
        scratch.mkdir(exist_ok=True)
        node = spawn.Process(target=bare_node, args=(link, str(scratch), files, training, sending))
        node.start()
        answers.append(receiving)
        nodes.append(node)
    seconds = [
        float(answer.recv()) if answer.poll(300) else sys.exit("bare SPU did not answer")
        for answer in answers
    ]
    for node in nodes:
        node.join()
    return max(seconds)


def generated_owners(root: Path) -> list[Owner]:
    """Write two tables of 30,000 rows with 13 and 10 features, the label with the first."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(30_000, 23))
    label = (features @ generator.normal(size=23) + generator.normal(size=30_000) > 1).astype(int)
    owners = []
    for name, part, with_label in (("guest", features[:, :13], True), ("host", features[:, 13:], False)):
        names = [f"x{number}" for number in range(part.shape[1])]
        header = ",".join(["id", *(["y"] if with_label else []), *names])
        columns = [np.arange(30_000), *([label] if with_label else []), *part.T]
        path = root / f"{name}.csv"
        np.savetxt(path, np.column_stack(columns), delimiter=",", header=header, comments="", fmt="%.6g")
        owners.append(
            Owner(f"0x{name}", TableSource("csv", str(path)), tuple(names), "y" if with_label else None)
        )
    return owners


def given_owners(paths: list[Path]) -> list[Owner]:
    """Describe tables with the columns `id`, `y` at one of them, and features."""
    owners = []
    for path in paths:
        with path.open() as file:
            names = file.readline().strip().split(",")
        features = tuple(name for name in names if name not in ("id", "y"))
        label = "y" if "y" in names else None
        owners.append(Owner(f"0x{path.stem}", TableSource("csv", str(path)), features, label))
    return owners


def clear_metrics(owners: list[Owner], training: Training) -> dict[str, float]:
    """Train the same in the clear."""
    tables = [read_table(owner.source, owner.key, owner.features, owner.label) for owner in owners]
    clear = [
        ClearTable(o.account, t.keys, dict(zip(o.features, t.features.T, strict=True)), t.label)
        for o, t in zip(owners, tables, strict=True)
    ]
    return train_in_clear(clear, training).metrics


def main() -> int:
    """Print the figures as JSON; exit 1 when the floor is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--owners", nargs=2, type=Path)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    training = Training(
        epochs=options.epochs, batch_size=options.batch_size, learning_rate=0.3, holdout=0.2, seed=0
    )
    ours, bare, whole = [], [], []
    root = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="soter-bench-"))
    try:
        owners = given_owners(options.owners) if options.owners else generated_owners(root)
        for number in range(options.runs):
            folder = root / str(number)
            folder.mkdir()
            started = time.monotonic()
            run = asyncio.run(run_session(folder, owners, training))
            whole.append(time.monotonic() - started)
            ours.append(max(result.train_seconds for result in run.trained))
            bare.append(run_bare(run, training))
        metrics = reconstruct(run.result_shares).metrics
        clear = clear_metrics(owners, training)
    finally:
        shutil.rmtree(root)
    ratio = statistics.median(ours) / statistics.median(bare)
    figures = {
        "whole_seconds": whole,
        "train_seconds": ours,
        "bare_train_seconds": bare,
        "ratio": round(ratio, 3),
        "ratio_floor": FLOOR,
        "auc": metrics["auc"],
        "auc_in_the_clear": clear["auc"],
    }
    print(json.dumps(figures, indent=2))
    return int(ratio > FLOOR or abs(metrics["auc"] - clear["auc"]) > 1e-3)


if __name__ == "__main__":
    sys.exit(main())
