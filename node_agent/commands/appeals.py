"""`claims` and `appeal`: what detectors upheld against this node, and how it contests that."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import grpc.aio
import typer
from pydantic import ValidationError
from rich.table import Table

from node_agent.commands.reporting import DEFAULT_DATA_DIR, DataDir, Json, answer, busy, command
from node_agent.commands.status import own_account
from node_agent.coordinator_link import CoordinatorLink, refusal
from node_agent.detection.openings import answer_file
from node_agent.detection.paying import Payer
from node_agent.errors import AgentError, Unreachable, WrongUsage
from node_agent.folder import DataFolder
from node_agent.identity import open_identity
from node_agent.network import Network, open_chain
from node_agent.settings import AgentSettings, load_settings
from soterone.chain.client import ChainClient
from soterone.chain.direct_sender import DirectSender
from soterone.chain.errors import ChainError, ChainUnreachableError
from soterone.chain.quorum import Quorum, QuorumCalls
from soterone.crypto.files import write_private
from soterone.crypto.messages import Appeal, sign
from soterone.domain.deadlines import signature_deadline
from soterone.domain.detection import ClaimStatus, CounterEvidence
from soterone.domain.ids import Hash32, hash32, hash_bytes
from soterone.domain.spec import describe

_SPARE_EPOCHS = 4
_SPARE_BLOCKS = 100
_MINED_SECONDS = 60.0
_LOOK_SECONDS = 0.5

ClaimId = Annotated[str, typer.Argument(help="The id that `soter-node claims` shows.")]
Queries = Annotated[
    list[str] | None,
    typer.Option("--query", help="A query that this node computed while it was judged; repeat for more."),
]
Statement = Annotated[str, typer.Option("--statement", help="What people should know.")]


@command
def claims_command(data_dir: DataDir = DEFAULT_DATA_DIR, json_output: Json = False) -> None:
    """List what detectors upheld against this node of late and how it stands, as the chain has it."""
    folder = DataFolder(data_dir.expanduser().absolute())
    with busy("Reading the chain …", json_output):
        found = asyncio.run(_claims(folder))
    table = Table("claim", "about", "severity", "epoch", "status", title="Claims", title_justify="left")
    for one in found:
        table.add_row(*map(str, one.values()))
    answer({"claims": found}, json_output, table)


@command
def appeal_command(
    claim: ClaimId,
    query: Queries = None,
    statement: Statement = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json_output: Json = False,
) -> None:
    """Contest a claim, once: another panel has its evidence opened, and measures this node again in the next epoch.

    Keep the agent running with the same profile until then.
    """
    folder = DataFolder(data_dir.expanduser().absolute())
    told = _answer(folder, claim, tuple(query or ()), statement)
    with busy("Appealing on chain …", json_output):
        epoch = asyncio.run(_appeal(folder, told))
    answer(
        {"claim_id": claim, "epoch": epoch},
        json_output,
        f"Appealed. The claim is heard in epoch {epoch} of the detectors, and decided in the next.",
    )


def _answer(folder: DataFolder, claim: str, queries: tuple[str, ...], statement: str) -> CounterEvidence:
    """What this node says to a claim; WrongUsage when it cannot be said."""
    try:
        return CounterEvidence(
            claim_id=claim,
            node=own_account(folder),
            queries=queries,
            statement=statement,
            salt=secrets.token_hex(32),
        )
    except ValidationError as error:
        raise WrongUsage(f"this cannot be said: {describe(error)}") from error


@asynccontextmanager
async def _quorum(settings: AgentSettings, network: Network) -> AsyncIterator[tuple[ChainClient, Quorum]]:
    """The chain and its quorum; AgentError when there is none, or the chain fails."""
    try:
        async with await open_chain(settings.chain_rpc, network.contracts) as chain:
            quorum = Quorum(chain)
            if not quorum.is_deployed:
                raise AgentError("this network has no detectors' quorum, so there are no claims")
            yield chain, quorum
    except ChainUnreachableError as error:
        raise Unreachable(str(error)) from error
    except ChainError as error:
        raise AgentError(str(error)) from error


async def _blocks_back(quorum: Quorum) -> int:
    """Blocks of the time in which a claim can be appealed and decided, on a chain with a block a second at most."""
    terms, _ = await quorum.roster()
    return (terms.appeal_epochs + _SPARE_EPOCHS) * await quorum.epoch_seconds() + _SPARE_BLOCKS


async def _claims(folder: DataFolder) -> list[dict[str, str | int]]:
    settings, network = load_settings(folder.config), Network.load(folder.network)
    async with _quorum(settings, network) as (_, quorum):
        upheld = await quorum.claims_against(own_account(folder), await _blocks_back(quorum))
        return [
            {
                "claim_id": one.claim_id,
                "about": one.claim.accusation.kind.name.lower(),
                "severity": int(one.claim.accusation.severity),
                "epoch": one.claim.accusation.epoch,
                "status": (await quorum.claim_of(one.claim_id)).status.name.lower(),
            }
            for one in upheld
        ]


async def _appeal(folder: DataFolder, told: CounterEvidence) -> int:
    """Keep what is said where the agent opens it, sign and send the appeal; returns the epoch in which it is heard."""
    settings, network = load_settings(folder.config), Network.load(folder.network)
    identity = open_identity(folder, settings.password_file, network.description.ca_pem)
    claim_id = hash32(bytes.fromhex(told.claim_id[2:]))
    async with _quorum(settings, network) as (chain, quorum):
        upheld = await quorum.claim(claim_id, await _blocks_back(quorum))
        if upheld is None or upheld.node != identity.account:
            raise AgentError("no such claim against this node; `soter-node claims` lists them")
        folder.appeals.mkdir(mode=0o700, exist_ok=True)
        write_private(answer_file(folder.appeals, told.hash), told.model_dump_json().encode())
        deadline = signature_deadline(time.time(), (await chain.head()).timestamp)
        message = Appeal(hash_bytes(claim_id), hash_bytes(told.hash), deadline)
        signature = sign(identity.signer, quorum.domain, message)
        calls = QuorumCalls(network.contracts.addresses)
        call = calls.appeal(claim_id, upheld.claim, hash_bytes(told.hash), deadline, signature)
        link = CoordinatorLink(network.description.agents_address, identity.ca_pem, identity.tls)
        try:
            sender = DirectSender(chain, identity.signer)
            await Payer(identity.account, chain, sender, link.agents).send(call)
        except grpc.aio.AioRpcError as error:
            raise refusal(error, "so the claim is not appealed") from error
        finally:
            await link.close()
        return await _heard_in(quorum, claim_id)


async def _heard_in(quorum: Quorum, claim_id: Hash32) -> int:
    """Wait until the appeal is mined: who relays it answers before."""
    deadline = time.monotonic() + _MINED_SECONDS
    while (state := await quorum.claim_of(claim_id)).status is ClaimStatus.UPHELD:
        if time.monotonic() > deadline:
            raise AgentError(f"the appeal was not mined within {_MINED_SECONDS:g} s; try again")
        await asyncio.sleep(_LOOK_SECONDS)
    return state.epoch
