"""Starts the pinned anvil on a free port of the loopback and stops it again."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ANVIL = Path(__file__).parents[1] / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
# Public development keys of anvil's default mnemonic; they hold coins on a local chain only.
DEVELOPER_KEYS = (
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
)
START_TIMEOUT_SECONDS = 30


@contextmanager
def running_anvil(*options: str) -> Iterator[str]:
    """Yields the HTTP address of a fresh chain; RuntimeError when anvil is missing or does not start."""
    if not ANVIL.exists():
        raise RuntimeError("anvil is not installed: run `npm ci`")
    command = [str(ANVIL), "--port", "0", "--host", "127.0.0.1", *options]
    with tempfile.TemporaryFile("w+") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield f"http://{_listening(process, log)}"
        finally:
            process.terminate()


def _listening(process: subprocess.Popen[bytes], log: IO[str]) -> str:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        log.seek(0)
        if found := re.search(r"Listening on (\S+)\n", log.read()):
            return found.group(1)
        time.sleep(0.005)
    log.seek(0)
    raise RuntimeError(f"anvil did not start: {log.read()[-500:]}")
