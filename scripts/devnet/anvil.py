"""Anvil, the local chain: on a free port of its host, and on the same one again after a restart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from scripts.devnet.hosting import Hosting, Loopback
from scripts.devnet.process import Process, ProcessError

BINARY = Path(__file__).parents[2] / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
DEVELOPER_KEYS = (
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "0x92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "0x4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    "0xdbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
    "0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
)
"""Public development keys of anvil's default mnemonic: each holds coins on a local chain only."""
INTERVAL_MINING = ("--block-time", "1", "--mixed-mining")
"""A block a second, and one at once for each transaction: time passes on chain as on a public one, and nobody waits."""


class Anvil:
    """One anvil whose output goes to `chain.out` and `chain.log` in a folder."""

    def __init__(self, folder: Path, *options: str, hosting: Hosting | None = None) -> None:
        self._folder, self._options, self._port = folder, options, 0
        self._hosting = hosting or Loopback()
        self._host = self._hosting.address("chain")
        self.process = self._on_port()

    @property
    def url(self) -> str:
        """The HTTP address."""
        return f"http://{self._host}:{self._port}"

    @property
    def ws_url(self) -> str:
        """The WebSocket address."""
        return f"ws://{self._host}:{self._port}"

    def start(self) -> None:
        """Start it, on the port it had before if it had one; ProcessError when it is missing or does not start."""
        if not BINARY.exists():
            raise ProcessError("anvil is not installed: run `make setup`")
        self.process = self._on_port()
        self.process.start()
        listening = rf"Listening on {re.escape(self._host)}:(\d+)$"
        self._port = int(self.process.wait_for(listening, 30, 0.005).group(1))

    def stop(self) -> None:
        """Stop it; what it should remember must be in a `--state` file."""
        self.process.stop()

    def rpc(self, method: str, *parameters: Any) -> Any:
        """Call a method; RuntimeError with anvil's words when it refuses."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        answer = httpx.post(self.url, json=body, timeout=10, verify=False).json()  # noqa: S501 - no TLS
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _on_port(self) -> Process:
        command = [str(BINARY), "--host", self._host, "--port", str(self._port), *self._options]
        return Process("chain", self._hosting.command("chain", command), self._folder / "chain.log", {})


@contextmanager
def running_anvil(*options: str) -> Iterator[Anvil]:
    """Yield a fresh chain that ends with the block."""
    with TemporaryDirectory(prefix="soterone-anvil-") as folder:
        anvil = Anvil(Path(folder), *options)
        anvil.start()
        try:
            yield anvil
        finally:
            anvil.stop()
