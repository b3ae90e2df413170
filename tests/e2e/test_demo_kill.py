"""The demo in which somebody dies: a person sees how it is survived, and the truth when it is not."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

SECONDS = 600
"""For a machine that does much else besides."""


def killed(victim: str, folder: Path) -> tuple[dict[str, Any], str]:
    """Run the demo with a victim; returns its figures and what it told."""
    figures = folder / "figures.json"
    command = [sys.executable, "-m", "scripts.demo", "--kill", victim, "--folder", str(folder / "network")]
    finished = subprocess.run(
        [*command, "--json", str(figures)],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-4000:] + finished.stderr[-2000:]
    document = json.loads(figures.read_text())
    assert (document["audit"]["ok"], document["leftovers"]) == (True, [])
    return document, finished.stdout


def names(document: dict[str, Any]) -> list[str]:
    return [event["name"] for event in document["events"]]


def fallen(document: dict[str, Any]) -> list[str]:
    """Return the nodes whose score fell."""
    return [node for node, score in document["reputation"].items() if score["after"] < score["before"]]


def test_training_goes_on_with_a_successor(tmp_path: Path) -> None:
    document, told = killed("mpc", tmp_path)
    assert document["query"]["status"] == "completed"
    assert document["query"]["generation"] == names(document).count("MPCUpdated") == 1
    steps = document["kill"]
    assert 0 < steps["reported"] <= steps["detected"] <= steps["replaced"] <= steps["training"]
    assert document["metrics"]["joint_auc"] == pytest.approx(document["metrics"]["clear_auc"], abs=1e-3)
    assert len(fallen(document)) == 1
    assert "is drawn among" in told


def test_the_loss_of_an_owner_is_told_as_it_is(tmp_path: Path) -> None:
    document, told = killed("owner", tmp_path)
    assert document["query"]["status"] == "failed"
    assert names(document).count("QueryFailed") == names(document).count("QueryCleanup") == 1
    assert "QueryCompleted" not in names(document)
    assert "A data owner went away, and its data cannot be replaced. (clinic)" in " ".join(told.split())
    assert len(fallen(document)) == 1
