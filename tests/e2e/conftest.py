"""The whole demo, run once for all tests of this folder and kept running while they look at it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hospitals import Hospitals

from scripts.devnet.network import Devnet
from soterone.client.customer import Customer

ROOT = Path(__file__).parents[2]
DEMO_SECONDS = 150


@dataclass(frozen=True)
class Demo:
    """A demo that has told its story and keeps its network running."""

    process: subprocess.Popen[bytes]
    folder: Path
    document: dict[str, Any]
    seconds: float

    def stop(self) -> tuple[int, float]:
        """Press Ctrl-C; returns the exit status and how long it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60), time.monotonic() - began


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo with `--keep`, after its figures were written."""
    base = tmp_path_factory.mktemp("demo")
    folder, figures, told = base / "network", base / "demo.json", base / "told.txt"
    command = [
        sys.executable,
        "-m",
        "scripts.demo",
        "--keep",
        "--folder",
        str(folder),
        "--json",
        str(figures),
    ]
    began = time.monotonic()
    with told.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=output, env={**os.environ, "COLUMNS": "160"}
        )
    try:
        while not (figures.exists() and figures.stat().st_size):
            if process.poll() is not None or time.monotonic() - began > DEMO_SECONDS:
                pytest.fail(f"the demo did not finish:\n{told.read_text()[-4000:]}", pytrace=False)
            time.sleep(0.1)
        time.sleep(0.5)
        yield Demo(process, folder, json.loads(figures.read_text()), time.monotonic() - began)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)


@pytest.fixture(scope="session")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospitals]:
    """Two hospitals, an archive that is offline and three MPC nodes; stopped after the last test."""
    network = Hospitals(Devnet(tmp_path_factory.mktemp("hospitals")))
    try:
        network.start()
        yield network
    finally:
        network.devnet.stop()


@pytest.fixture(scope="session")
def customer(hospitals: Hospitals) -> Iterator[Customer]:
    """The customer of the hospitals, with a keystore that the commands use too."""
    with hospitals.customer(hospitals.make_home()) as signed_in:
        yield signed_in
