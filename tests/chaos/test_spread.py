"""A spread of the chaos matrix: every victim and every fault once. `make chaos` runs all of it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SPREAD = (
    "mpc/training/kill",
    "owner/sharing/kill",
    "owner/aligning/restart",
    "leader/training/cut",
    "mpc/dispatched/stop",
    "mpc/delivering/restart",
    "spare/training/kill",
    "coordinator/reserved/restart",
    "coordinator/training/kill",
    "chain/training/restart",
    "chain/dispatched/reorg",
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
