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
optimizer = true
optimizer_runs = 200
evm_version = "cancun"
via_ir = true
bytecode_hash = "none"
cbor_metadata = false
block_coinbase = "0x0000000000000000000000000000000000000000"

[profile.default.fuzz]
runs = {fuzz_runs}
seed = "0x50fe"

[profile.default.invariant]
runs = {invariant_runs}
depth = 48
fail_on_revert = false
"""


def project(
    name: str, sources: str, tests: str, *, fuzz_runs: int = 32, invariant_runs: int = 8, copy: bool = False
) -> Path:
    """A project whose folders `contracts`, `tests` and `node_modules` are links, or whose contracts are a copy."""
    folder = CACHE / name
    folder.mkdir(parents=True, exist_ok=True)
    for link in ("node_modules", "tests") if copy else ("node_modules", "tests", "contracts"):
        (folder / link).unlink(missing_ok=True)
        (folder / link).symlink_to(ROOT / link)
    if copy:
        shutil.copytree(ROOT / "contracts", folder / "contracts", dirs_exist_ok=True)
    compiler = ROOT / "scripts" / "solc.mjs"
    values = {"sources": sources, "tests": tests, "fuzz_runs": fuzz_runs, "invariant_runs": invariant_runs}
    (folder / "foundry.toml").write_text(SETTINGS.format(compiler=compiler, **values))
    return folder


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
