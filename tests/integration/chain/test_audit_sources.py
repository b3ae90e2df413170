"""The deployed code beside what the sources compile to: the same, but for immutables, which have their own check."""

from pathlib import Path

import pytest
from audits import complaints
from fixtures.chain import Anvil

from soterone.audit import sources
from soterone.audit.auditor import Request, run_audit
from soterone.audit.sources import Compiled, SourcesError, compile_sources, problems_of, without_metadata
from soterone.chain.client import ChainClient
from soterone.chain.deployment import Deployment

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def compiled(deployment: Deployment) -> dict[str, Compiled]:
    return compile_sources(ROOT, sorted(deployment.contracts))


async def test_the_deployed_code_is_what_the_sources_compile_to(
    chain: ChainClient, compiled: dict[str, Compiled], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler takes half a minute: what it made once is used again."""
    monkeypatch.setattr(sources, "compile_sources", lambda folder, names: compiled if folder == ROOT else {})
    report = (await run_audit(chain, Request(sources=ROOT))).report
    assert report.ok, complaints(report)
    (check,) = [one for one in report.checks if one.name == "code is what the sources compile to"]
    assert check.examined == len(chain.contracts.addresses)


async def test_falsified_code_is_caught(
    own_chain: ChainClient, own_anvil: Anvil, compiled: dict[str, Compiled]
) -> None:
    """The deployment file may say so, too: the sources say otherwise."""
    name = "ReputationLedger"
    code = await own_chain.code_at(own_chain.contracts.addresses[name])
    place = code.index((8 * 10**9).to_bytes(5))
    forged = bytearray(code)
    forged[place + 4] ^= 1
    assert list(problems_of(name, compiled[name], code, own_chain.contracts)) == []
    assert list(problems_of(name, compiled[name], bytes(forged), own_chain.contracts)) == [
        "has other code on chain than its sources compile to"
    ]
    own_anvil.rpc("anvil_setCode", own_chain.contracts.addresses[name], f"0x{forged.hex()}")
    own_anvil.rpc("evm_mine")
    report = (await run_audit(own_chain, Request())).report
    assert f"{name} has code" in complaints(report)


async def test_an_immutable_that_points_elsewhere_is_caught(
    chain: ChainClient, compiled: dict[str, Compiled]
) -> None:
    name, registry = "QueryLedger", chain.contracts.addresses["NodeRegistry"]
    code = await chain.code_at(chain.contracts.addresses[name])
    theirs = int(registry, 16).to_bytes(32)
    start, length = compiled[name].immutables["REGISTRY"][0]
    assert code[start : start + length] == theirs
    for changed in (
        code.replace(theirs, bytes(31) + b"\x07"),
        code[:start] + bytes(31) + b"\x07" + code[start + 32 :],
    ):
        assert list(problems_of(name, compiled[name], changed, chain.contracts)) == [
            "was constructed with another REGISTRY than its own network's"
        ]


def test_metadata_are_no_code() -> None:
    code, tail = bytes.fromhex("6001600155"), bytes.fromhex("a164736f6c6343000825")
    with_tail = code + tail + len(tail).to_bytes(2)
    assert without_metadata(with_tail) == code
    assert without_metadata(code) == code


def test_a_folder_without_contracts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourcesError, match="is no checkout"):
        compile_sources(tmp_path, ["NodeRegistry"])
