"""The Python mirror and the Solidity library give the same bits, on thousands of random cases and on the edges.

`make contracts-assurance` asks for a hundred thousand cases and for every pair of ages.
"""

import json
import os
import random
import subprocess
from itertools import product
from pathlib import Path

import pytest
from fixtures.chain import DEVELOPER_KEYS, Anvil
from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.middleware import SignAndSendRawMiddlewareBuilder

from scripts.assurance.arithmetic import (
    DECAY_AGES,
    DECAY_VALUES,
    FEEDBACK,
    OBSERVATION,
    PENALTY,
    RENEWAL,
    REVERSAL,
    Update,
    pack,
    update,
)
from soterone.domain import reputation as rep
from soterone.domain.reputation import HalfLife, Record, Severity

CASES = int(os.environ.get("SOTER_DIFFERENTIAL_CASES", "6000"))
AGE_STRIDE = 1 if os.environ.get("SOTER_EVERY_AGE") else 37
DECAY_ONE = 10**18
FORGOTTEN_EPOCHS = 4096
BATCH = 1_500


@pytest.fixture(scope="module")
def harness(anvil: Anvil) -> Contract:
    """The library behind a contract on the shared chain."""
    script = Path(__file__).with_name("compile_harness.mjs")
    compiled = subprocess.run(
        ["node", script, "ReputationMathHarness"], check=True, capture_output=True, timeout=120
    )
    artifact = json.loads(compiled.stdout)
    client = Web3(HTTPProvider(anvil.url))
    payer = client.eth.account.from_key(DEVELOPER_KEYS[9])
    client.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(payer), layer=0)
    factory: type[Contract] = client.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
    creation = factory.constructor().transact({"from": payer.address})
    receipt = client.eth.wait_for_transaction_receipt(creation, poll_latency=0.01)
    return factory(receipt["contractAddress"])


def _mirror(case: Update) -> Record:
    record, kind, epoch, argument, credibility, added, added_epoch = case
    if record.last_epoch == 0:
        record = Record(last_epoch=epoch, born_epoch=epoch)
    if kind == OBSERVATION:
        return rep.apply_observation(record, epoch, argument)
    if kind == FEEDBACK:
        return rep.apply_feedback(record, epoch, argument, credibility)
    if kind == PENALTY:
        return rep.apply_penalty(record, epoch, Severity(argument))
    if kind == RENEWAL:
        return rep.renew(record, epoch, argument)
    if kind == REVERSAL:
        return rep.take_back(record, epoch, added, added_epoch)
    return rep.advance(record, epoch)


def test_every_update_agrees_bit_for_bit(harness: Contract) -> None:
    rng = random.Random(20_020)  # noqa: S311
    cases = [update(rng) for _ in range(CASES)]
    for start in range(0, CASES, BATCH):
        batch = cases[start : start + BATCH]
        words = harness.functions.play([(pack(record), *rest) for record, *rest in batch]).call()
        for case, word in zip(batch, words, strict=True):
            assert word == pack(_mirror(case)), case


def test_every_power_of_decay_agrees(harness: Contract) -> None:
    pairs = list(product(DECAY_VALUES, DECAY_AGES))
    good, bad = harness.functions.decay([one for one, _ in pairs], [age for _, age in pairs]).call()
    assert good == [rep.decay(value, age, HalfLife.GOOD) for value, age in pairs]
    assert bad == [rep.decay(value, age, HalfLife.BAD) for value, age in pairs]


@pytest.mark.parametrize("half_life", list(HalfLife), ids=lambda one: one.name.lower())
def test_decay_composes_within_two_units_for_every_evidence(half_life: HalfLife) -> None:
    """With |F(a)·F(b) − F(a+b)| · v < 1, two floors bring decay(decay(v, a), b) within 2 of decay(v, a + b).

    That is a proof for every evidence v up to the cap; ages are all when SOTER_EVERY_AGE is set.
    """
    factors = [rep.decay(DECAY_ONE, age, half_life) for age in range(FORGOTTEN_EPOCHS)]
    factors += [0] * FORGOTTEN_EPOCHS
    ages = range(0, FORGOTTEN_EPOCHS, AGE_STRIDE)
    worst = max(
        abs(factors[a] * factors[b] - factors[a + b] * DECAY_ONE)
        for a in ages
        for b in range(a, FORGOTTEN_EPOCHS)
    )
    assert worst * rep.EVIDENCE_CAP < DECAY_ONE**2


def test_credibility_agrees(harness: Contract) -> None:
    rng = random.Random(7)  # noqa: S311
    ratings = [rng.randint(0, 100) for _ in range(1_000)]
    observations = [rng.randint(0, 100) for _ in range(1_000)]
    start = expected = rep.INITIAL_CREDIBILITY
    on_chain = harness.functions.credibility(start, ratings, observations).call()
    for rating, observed, updated in zip(ratings, observations, on_chain, strict=True):
        expected = rep.update_credibility(expected, [rating], [observed])
        assert updated == expected
