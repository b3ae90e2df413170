"""The Python mirror and the Solidity library draw the same panels, on thousands of random cases and on the edges."""

import json
import random
import subprocess
from pathlib import Path

import pytest
from fixtures.chain import DEVELOPER_KEYS, Anvil
from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.middleware import SignAndSendRawMiddlewareBuilder

from scripts.assurance.arithmetic import draw as random_draw
from soterone.domain.panels import draw, draw_outside

CASES = 3_000
BATCH = 250


@pytest.fixture(scope="module")
def harness(anvil: Anvil) -> Contract:
    """The library behind a contract on the shared chain."""
    script = Path(__file__).with_name("compile_harness.mjs")
    compiled = subprocess.run(
        ["node", script, "PanelDrawHarness"], check=True, capture_output=True, timeout=300
    )
    artifact = json.loads(compiled.stdout)
    client = Web3(HTTPProvider(anvil.url))
    payer = client.eth.account.from_key(DEVELOPER_KEYS[8])
    client.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(payer), layer=0)
    factory: type[Contract] = client.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
    creation = factory.constructor().transact({"from": payer.address})
    receipt = client.eth.wait_for_transaction_receipt(creation, poll_latency=0.01)
    return factory(receipt["contractAddress"])


def test_every_draw_agrees_bit_for_bit(harness: Contract) -> None:
    rng = random.Random(1_987)  # noqa: S311
    cases = [random_draw(rng) for _ in range(CASES)]
    for start in range(0, CASES, BATCH):
        batch = cases[start : start + BATCH]
        panels, outside = harness.functions.play(batch).call()
        assert panels == [draw(*case) for case in batch]
        assert outside == [draw_outside(*case) for case in batch]
