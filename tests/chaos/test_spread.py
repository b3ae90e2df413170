"""A spread of the chaos matrix over PostgreSQL, in one network while nothing fails. `make chaos` runs all of it.

Owners and MPC nodes that are killed in training are left to the demo, which shows both.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SPREAD = (
    "api/training/stop@postgres",
    "rpc/dispatched/kill@postgres",
    "follower/delivering/restart@postgres",
    "sender/dispatched/kill@postgres",
    "reconciler/training/kill@postgres",
    "postgres/dispatched/restart@postgres",
    "coordinator/training/kill@postgres",
    "chain/delivering/reorg@postgres",
    "mpc/aligning/cut@postgres",
    "spare/training/kill@postgres",
)
MOST_SECONDS = 1200
"""For a machine that does much else besides."""


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of each cell, by its name."""
    base = tmp_path_factory.mktemp("chaos")
    figures, told = base / "outcomes.json", base / "told.txt"
    command = [
        sys.executable,
        "-m",
        "scripts.chaos",
        "--folder",
        str(base / "networks"),
        "--json",
        str(figures),
    ]
    for cell in SPREAD:
        command += ["--only", cell]
    with told.open("wb") as output:
        subprocess.run(
            command, cwd=ROOT, env={**os.environ, "COLUMNS": "200"}, stdout=output, stderr=output,
            timeout=MOST_SECONDS, check=False,
        )  # fmt: skip
    if not figures.exists():
        pytest.fail(f"the cells were not run to the end:\n{told.read_text()[-6000:]}", pytrace=False)
    return {one["cell"]: one for one in json.loads(figures.read_text())}


@pytest.mark.parametrize("cell", SPREAD)
def test_the_query_ends_well(outcomes: dict[str, Any], cell: str) -> None:
    outcome = outcomes[cell]
    if outcome["verdict"] == "skipped":
        pytest.skip(outcome["end"])
    assert (outcome["verdict"], outcome["complaints"]) == ("ok", [])
