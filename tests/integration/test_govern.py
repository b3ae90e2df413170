"""scripts/govern.py against a real chain: seats and terms change as the timelock lets them, and by nobody else."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.chain import DEVELOPER_KEYS, Anvil, deploy_contracts
from fixtures.court import GOVERNOR, Court

from scripts.devnet.anvil import INTERVAL_MINING
from scripts.govern import main
from soterone.chain.client import ChainClient
from soterone.chain.deployment import DEVNET, Deployment
from soterone.chain.records import Contracts
from soterone.domain.roles import Role


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


async def govern(town: Anvil, folder: Path, *arguments: str, key: str = "governor") -> int:
    """Run the command and return its exit status."""
    files = ("--deployment", str(folder / "deployment.json"), "--key-file", str(folder / f"{key}.key"))
    return await asyncio.to_thread(main, ["--rpc", town.url, *files, "--wait", *arguments])


async def test_seats_and_terms_change(
    court: Court, town: Anvil, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detectors = [(await court.register(Role.DETECTOR)).account for _ in range(2)]
    assert await govern(town, tmp_path, "seats", "--enlist", *detectors) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "change the detectors' seats: proposed" in said.out
    assert "change the detectors' seats: done" in said.out
    _, seats = await court.quorum.roster()
    assert {one.detector for one in seats} == set(detectors)

    assert await govern(town, tmp_path, "seats", "--remove", detectors[0]) == 0
    assert await govern(town, tmp_path, "terms", "--panel-size", "5", "--threshold", "3") == 0
    terms, seats = await court.quorum.roster()
    assert [one.detector for one in seats] == detectors[1:]
    assert terms == replace(DEVNET.terms, panel_size=5, threshold=3)


async def test_who_may_not_or_what_cannot_is_told(
    court: Court, town: Anvil, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = (await court.register(Role.MPC_NODE)).account
    for arguments, key, words in (
        (("seats", "--enlist", node), "other", "may not propose"),
        (("seats", "--enlist", node), "governor", "not eligible"),
        (("seats",), "governor", "name whom"),
        (("terms", "--threshold", "1"), "governor", "more than half"),
    ):
        assert await govern(town, tmp_path, *arguments, key=key) == 1
        assert words in capsys.readouterr().err
    assert (await court.quorum.roster()) == (DEVNET.terms, ())
