"""Who only reads the chain does not pay, in seconds and megabytes, for the library that deploys contracts."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["soterone.cli.__main__", "node_agent.__main__", "coordinator.services"])
def test_every_program_stands_without_web3(module: str) -> None:
    program = f"import sys, {module}; print(sorted({{'web3', 'aiohttp'}} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
