"""Foundry projects over the contracts, made below .cache, for the tools that want one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from scripts.assurance.inspection import ROOT

CACHE = ROOT / ".cache" / "assurance"
FORGE = CACHE / "node" / "node_modules" / "@foundry-rs" / "forge-linux-amd64" / "bin"
SETTINGS = """[profile.default]
src = "{sources}"
test = "{tests}"
out = "out"
libs = []
remappings = ["@openzeppelin/=node_modules/@openzeppelin/", "contracts/=contracts/"]
solc = "{compiler}"
offline = true
auto_detect_solc = false
{optimiser}
evm_version = "cancun"
via_ir = true
bytecode_hash = "none"
cbor_metadata = false
block_coinbase = "0x0000000000000000000000000000000000000000"
gas_limit = "9223372036854775807"
fs_permissions = [{{ access = "read", path = "plans" }}]

[lint]
lint_on_build = false

[profile.default.fuzz]
runs = {fuzz_runs}
seed = "0x50fe"

[profile.default.invariant]
runs = {invariant_runs}
depth = 48
fail_on_revert = false
"""
SHIPPED = """optimizer = true
optimizer_runs = 200"""
QUICK = """optimizer = false
optimizer_details = { yul = true, yulDetails = { stackAllocation = true, optimizerSteps = "u" } }"""
"""What makes the code that is deployed, and what makes code that does the same in a fraction of the time."""


def project(
    name: str,
    sources: str,
    tests: str,
    *,
    fuzz_runs: int = 32,
    invariant_runs: int = 8,
    copy: bool = False,
    leave_out: tuple[str, ...] = (),
    optimiser: str = SHIPPED,
) -> Path:
    """A project whose folders `contracts`, `tests` and `node_modules` are links, or whose contracts are a copy.

    `leave_out` names folders of the contracts that a copy does not have.
    """
    folder = CACHE / name
    folder.mkdir(parents=True, exist_ok=True)
    for link in ("node_modules", "tests") if copy else ("node_modules", "tests", "contracts"):
        (folder / link).unlink(missing_ok=True)
        (folder / link).symlink_to(ROOT / link)
    if copy:
        shutil.rmtree(folder / "contracts", ignore_errors=True)
        shutil.copytree(ROOT / "contracts", folder / "contracts", ignore=shutil.ignore_patterns(*leave_out))
    compiler = ROOT / "scripts" / "solc.mjs"
    values = {"sources": sources, "tests": tests, "fuzz_runs": fuzz_runs, "invariant_runs": invariant_runs}
    settings = SETTINGS.format(compiler=compiler, optimiser=optimiser, **values)
    (folder / "foundry.toml").write_text(settings)
    return folder


def build(folder: Path, timeout_seconds: float) -> None:
    """Compiles a project; raises RuntimeError with what the compiler says when it cannot."""
    done = run(["forge", "build"], folder, timeout_seconds)
    if done.returncode != 0:
        raise RuntimeError(f"forge cannot compile {folder.name}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def run(
    command: list[str], folder: Path, timeout_seconds: float, path: Path = FORGE
) -> subprocess.CompletedProcess[str]:
    """Runs a tool in a project, with forge and `path` in reach; raises TimeoutExpired when it takes too long."""
    reach = os.pathsep.join([str(path), str(FORGE), os.environ["PATH"]])
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": reach},
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
