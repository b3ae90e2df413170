"""Signatures of wallet contracts (ERC-1271): the wallet is asked in the state of the block in which it was believed."""

from collections.abc import Sequence
from dataclasses import dataclass

from soterone.audit.report import Finding
from soterone.audit.visits import WalletSignature
from soterone.chain.client import ChainClient
from soterone.chain.errors import RpcError


@dataclass(frozen=True, slots=True)
class WalletAnswers:
    """What wallets refused, and how many the RPC cannot ask any more, as it keeps no state of their blocks."""

    findings: tuple[Finding, ...]
    unknown: int


async def ask_wallets(chain: ChainClient, signatures: Sequence[WalletSignature]) -> WalletAnswers:
    """Ask each wallet about its signature; a signer without code refuses."""
    findings, unknown = list[Finding](), 0
    for one in signatures:
        try:
            if not await _taken(chain, one):
                findings.append(one.finding)
        except RpcError:
            unknown += 1
    return WalletAnswers(tuple(findings), unknown)


async def _taken(chain: ChainClient, one: WalletSignature) -> bool:
    for signer in one.signers:
        if await chain.is_valid_signature(signer, one.digest, one.signature, one.block):
            return True
    return False
