"""What the tests of this folder share."""

from collections.abc import AsyncIterator

import pytest
from fixtures.chain import Anvil
from following import Relay


@pytest.fixture
async def relay(own_anvil: Anvil) -> AsyncIterator[Relay]:
    """A relay to the test's own chain; `start` opens it."""
    made = Relay(int(own_anvil.url.rsplit(":", 1)[1]))
    yield made
    await made.close()
