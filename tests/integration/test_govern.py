"""scripts/govern.py against a real chain: seats and terms change as the timelock lets them, and by nobody else."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.chain import DEVELOPER_KEYS, Anvil, deploy_contracts
from fixtures.court import GOVERNOR, Court

from scripts.devnet.anvil import INTERVAL_MINING
from soterone.chain.client import ChainClient
from soterone.chain.deployment import DEVNET, Deployment
from soterone.chain.records import Contracts
from soterone.domain.roles import Role

SCRIPT = Path(__file__).parents[2] / "scripts" / "govern.py"


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Anvil]:
    """A chain whose time passes by itself."""
    process = Anvil(tmp_path, *INTERVAL_MINING)
    process.start()
    yield process
    process.stop()


@pytest.fixture
def deployed(town: Anvil, tmp_path: Path) -> Deployment:
    made = deploy_contracts(town, replace(DEVNET, governor=GOVERNOR.account))
    made.save(tmp_path / "deployment.json")
    (tmp_path / "governor.key").write_text(GOVERNOR.private_key().hex())
    (tmp_path / "other.key").write_text(DEVELOPER_KEYS[0])
    return made


@pytest.fixture
async def court(town: Anvil, deployed: Deployment) -> AsyncIterator[Court]:
    async with await ChainClient.connect(town.url, Contracts.of(deployed)) as chain:
        yield Court(town, chain)


def govern(
    town: Anvil, folder: Path, *arguments: str, key: str = "governor"
) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(SCRIPT),
        "--rpc",
        town.url,
        "--deployment",
        str(folder / "deployment.json"),
    ]
    command += ["--key-file", str(folder / f"{key}.key"), "--wait", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


async def test_seats_and_terms_change(court: Court, town: Anvil, tmp_path: Path) -> None:
    detectors = [(await court.register(Role.DETECTOR)).account for _ in range(2)]
    done = govern(town, tmp_path, "seats", "--enlist", *detectors)
    assert (done.returncode, done.stderr) == (0, "")
    assert "may be done from" in done.stdout
    assert "change the detectors' seats: done" in done.stdout
    _, seats = await court.quorum.roster()
    assert {one.detector for one in seats} == set(detectors)

    assert govern(town, tmp_path, "seats", "--remove", detectors[0]).returncode == 0
    assert govern(town, tmp_path, "terms", "--panel-size", "5", "--threshold", "3").returncode == 0
    terms, seats = await court.quorum.roster()
    assert [one.detector for one in seats] == detectors[1:]
    assert terms == replace(DEVNET.terms, panel_size=5, threshold=3)


async def test_who_may_not_or_what_cannot_is_told(court: Court, town: Anvil, tmp_path: Path) -> None:
    node = (await court.register(Role.MPC_NODE)).account
    for arguments, key, words in (
        (("seats", "--enlist", node), "other", "may not propose"),
        (("seats", "--enlist", node), "governor", "not eligible"),
        (("seats",), "governor", "name whom"),
        (("terms", "--threshold", "1"), "governor", "more than half"),
    ):
        refused = govern(town, tmp_path, *arguments, key=key)
        assert refused.returncode == 1
        assert words in refused.stderr
    assert (await court.quorum.roster()) == (DEVNET.terms, ())
