"""A result checked without trusting who delivered it: hashes and signatures against order and chain. Pure."""

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eth_utils.crypto import keccak

from soterone.chain.openings import Opening, result_hash
from soterone.client.errors import Untrustworthy
from soterone.crypto.messages import Domain, QueryOrder, ResultShare, SignatureError, query_id_of, recover
from soterone.domain.ids import Account, hash_bytes
from soterone.rest.queries import ResultView, SealedShare

CONSTANTS_RANK = 255

Replacement = tuple[Account, Account]
"""The MPC node that was lost, and the one that took its rank."""


@dataclass(frozen=True, slots=True)
class CheckedResult:
    """Sealed bytes whose origin is proven: shares by rank of the MPC node, constants by owner, of `owners` owners."""

    generation: int
    owners: int
    shares: dict[int, bytes]
    constants: dict[Account, bytes]


def check_result(
    result: ResultView,
    order: QueryOrder,
    commitment: int,
    ledger: Domain,
    replacements: Sequence[Replacement] = (),
) -> CheckedResult:
    """Return the proven parts of a result; Untrustworthy when a hash, signature or the chain contradicts it.

    `commitment` is what the chain keeps of the query: it covers the order's terms, its participants and the
    hash over the share hashes. `replacements` are the MPC nodes that were replaced, in order, as the chain tells.
    """
    if query_id_of(ledger, order.customer, order.salt) != result.query_id:
        raise Untrustworthy("the coordinator gave the result of another query")
    opening = _opening(order, replacements)
    mpcs = opening.roster.mpcs
    hashes = {share.rank: hash_bytes(share.share_hash) for share in result.shares}
    whole = result_hash([hashes.get(rank) for rank in range(len(mpcs))])
    current = result.generation == len(replacements)
    if not current or opening.completed(whole).commitment() != commitment:
        raise Untrustworthy("the result is not the one whose hash stands on chain")
    shares = {
        share.rank: _proven(share, mpcs[share.rank : share.rank + 1], result, ledger)[1]
        for share in result.shares
    }
    constants = dict(_proven(share, order.owners, result, ledger) for share in result.constants)
    return CheckedResult(result.generation, len(order.owners), shares, constants)


def _opening(order: QueryOrder, replacements: Sequence[Replacement]) -> Opening:
    opening = Opening.of_order(order)
    try:
        for old_mpc, new_mpc in replacements:
            opening = opening.replaced(old_mpc, new_mpc)
    except ValueError as error:
        raise Untrustworthy("the chain tells of the replacement of a node that took no part") from error
    return opening


def _proven(
    share: SealedShare, allowed: Iterable[Account], result: ResultView, ledger: Domain
) -> tuple[Account, bytes]:
    share_hash = hash_bytes(share.share_hash)
    message = ResultShare(hash_bytes(result.query_id), result.generation, share.rank, share_hash)
    try:
        sealed = base64.b64decode(share.sealed_base64, validate=True)
        signer = recover(ledger, message, bytes.fromhex(share.signature[2:]))
    except (binascii.Error, SignatureError) as error:
        raise Untrustworthy(f"the share of rank {share.rank} is damaged: {error}") from error
    if keccak(sealed) != share_hash or signer not in allowed:
        raise Untrustworthy(f"the share of rank {share.rank} is not what its node signed")
    return signer, sealed
