"""The tools' own environments below .cache/assurance, whose pins would fight those of the project."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from scripts.assurance.forge import CACHE
from scripts.assurance.inspection import ROOT

PIP = ("--quiet", "--quiet", "--disable-pip-version-check", "--require-hashes")
NPM = ("ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts")


def prepare() -> None:
    """Installs Halmos, Slither and Foundry's forge once; a later call reuses what agrees with the locks."""
    for tool in ("halmos", "slither"):
        lock = ROOT / "requirements" / f"{tool}.txt"
        if _is_stale(CACHE / tool, lock):
            print(f"· installing {tool} into {(CACHE / tool).relative_to(ROOT)}", flush=True)
            subprocess.run([sys.executable, "-m", "venv", "--clear", CACHE / tool], check=True)
            python = CACHE / tool / "bin" / "python"
            subprocess.run([python, "-m", "pip", "install", *PIP, "-r", lock], check=True)
            _remember(CACHE / tool, lock)
    _install_forge(Path(__file__).with_name("node"), CACHE / "node")


def _install_forge(manifest: Path, folder: Path) -> None:
    lock = manifest / "package-lock.json"
    if not _is_stale(folder, lock):
        return
    print(f"· installing forge into {folder.relative_to(ROOT)}", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    for file in (manifest / "package.json", lock, manifest / ".npmrc"):
        shutil.copy(file, folder)
    subprocess.run(["npm", *NPM], cwd=folder, check=True)
    _remember(folder, lock)


def _is_stale(folder: Path, lock: Path) -> bool:
    mark = folder / ".lock"
    return not mark.exists() or mark.read_bytes() != lock.read_bytes()


def _remember(folder: Path, lock: Path) -> None:
    (folder / ".lock").write_bytes(lock.read_bytes())
