"""A customer that sends its feedback itself, with bits above an address, gains nothing and spoils no log."""

import pytest
from audits import SHARES
from nodes import dispatched, mined, soon

from soterone.audit.auditor import audit
from soterone.chain.calls import Call, CallBuilder
from soterone.chain.client import ChainClient
from soterone.chain.errors import RevertedError
from soterone.chain.openings import result_hash
from soterone.crypto.accounts import Signer
from soterone.crypto.messages import Feedback
from soterone.domain.ids import Account, hash_bytes


async def test_dirty_feedback_is_refused_and_the_logs_stay_readable(
    own_chain: ChainClient, coordinator_signer: Signer, signers: list[Signer]
) -> None:
    chain, calls = own_chain, CallBuilder(own_chain.contracts.addresses)
    order, opening = await dispatched(chain, coordinator_signer, signers)
    query = await chain.query_id_of(order.customer, order.salt)
    await mined(chain, coordinator_signer, calls.complete(query, opening, SHARES))
    opening = opening.completed(result_hash(SHARES))
    await mined(chain, coordinator_signer, calls.settle(query, opening, [100] * 5))
    node = order.mpcs[0]
    before = await chain.record_of(node)
    clean = calls.give_feedback(Feedback(hash_bytes(query), (node,), (100,), soon()), opening, b"")
    with pytest.raises(RevertedError, match="dirty"):
        await mined(chain, signers[0], Call(clean.to, spoilt(clean.data, node), clean.description))
    assert await chain.record_of(node) == before
    assert (await audit(chain)).ok
    await mined(chain, signers[0], clean)
    assert await chain.record_of(node) != before


def spoilt(data: bytes, node: Account) -> bytes:
    """The call with a bit above the address where the node is rated, which is where it stands first."""
    place = data.index(bytes(12) + bytes.fromhex(node[2:]))
    return data[:place] + b"\x01" + data[place + 1 :]
