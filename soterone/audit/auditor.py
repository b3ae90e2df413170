"""The audit: replay what was emitted, repeat every draw and signature, and hold the proven storage and code against it.

Nothing is believed that can be computed. What remains is whether the RPC serves the right chain at all, which only
somebody else can tell: the report says who confirms the audited block.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from soterone.audit.anchor import REACH_BLOCKS, Chosen, choose, confirm, follow_parents
from soterone.audit.asking import Told
from soterone.audit.checkpoint import Checkpoint, CheckpointError
from soterone.audit.comparison import compare_with_coordinator
from soterone.audit.contents import check_code, check_storage
from soterone.audit.headers import header_at, headers_at
from soterone.audit.history import Read, read_history
from soterone.audit.registry import unfounded_suspensions
from soterone.audit.replay import Periods, Replay
from soterone.audit.report import Anchor, AnchorKind, Check, Finding, Report, Scope, scoped
from soterone.audit.sources import check_sources
from soterone.audit.statements import StatementReader
from soterone.audit.story import figures_of, steps_of
from soterone.audit.transactions import read_transactions
from soterone.audit.visits import Replayed
from soterone.audit.wallets import ask_wallets
from soterone.chain.client import ChainClient
from soterone.chain.quorum import Quorum
from soterone.chain.racing import ask_again
from soterone.domain.ids import Hash32

_SCORES_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Request:
    """What to audit and against what.

    `second` is another RPC of the same chain, `pinned` the hash of the block to audit up to, `checkpoint` where an
    earlier audit left off, `sources` a checkout to compile, `told` what a coordinator says. `announce` gets a few words
    a step.
    """

    scope: Scope = field(default_factory=Scope)
    second: ChainClient | None = None
    pinned: Hash32 | None = None
    checkpoint: Checkpoint | None = None
    sources: Path | None = None
    told: Told | None = None
    announce: Callable[[str], None] = lambda words: None


@dataclass(frozen=True, slots=True)
class Audit:
    """A finished audit; `checkpoint` to go on from, None when something contradicted."""

    report: Report
    checkpoint: Checkpoint | None


async def audit(chain: ChainClient) -> Report:
    """Audit one network from its first block to the head. ChainError when the chain cannot be read."""
    return (await run_audit(chain, Request())).report


async def run_audit(chain: ChainClient, request: Request) -> Audit:
    """Audit one network; ChainError when the chain cannot be read, CheckpointError when the checkpoint does not fit."""
    periods = await _periods(chain)
    chosen = await choose(chain, request.second, request.pinned)
    replay, first_block = await _beginning(chain, periods, request, chosen)
    request.announce(f"reading events of blocks {first_block} to {chosen.header.block.number}")
    read = await read_history(chain, chosen.header, first_block, request.second)
    request.announce(f"replaying {len(read.history.events)} events")
    for event in read.history.events:
        replay.apply(event, read.history.time_of(event))
    replay.finish()
    checks = scoped(await _checks(chain, request, chosen, read, replay), request.scope)
    steps = await steps_of(chain, request.scope, read.history, chain.contracts.start_block)
    head = chosen.header.block
    report = Report(
        chain.contracts.chain_id, first_block, head.number, head.hash, replay.events, len(read.history.events),
        _anchor(chosen, request.checkpoint), request.scope, checks, steps,
        figures_of(replay, steps, head.timestamp),
    )  # fmt: skip
    return Audit(report, _checkpoint(chain, periods, request, replay, report, chosen))


async def _periods(chain: ChainClient) -> Periods:
    quorum = Quorum(chain)
    feedback, silent_settle = await chain.feedback_periods()
    return Periods(
        *await chain.periods(),
        feedback,
        silent_settle,
        await quorum.epoch_seconds() if quorum.is_deployed else None,
    )


async def _beginning(
    chain: ChainClient, periods: Periods, request: Request, chosen: Chosen
) -> tuple[Replay, int]:
    """Return the replay to feed, and from which block on; CheckpointError when the chain left the checkpoint."""
    checkpoint = request.checkpoint
    if checkpoint is None:
        return Replay.new(periods), chain.contracts.start_block
    checkpoint.check_network(chain.contracts)
    if checkpoint.periods != periods:
        raise CheckpointError(
            "The contracts say other periods than the checkpoint: audit from the beginning."
        )
    if checkpoint.block.number > chosen.header.block.number:
        raise CheckpointError(
            f"The checkpoint is of block {checkpoint.block.number}, after block {chosen.header.block.number} that is "
            "to be audited: use a later block, or leave the checkpoint out."
        )
    known = (await header_at(chain, checkpoint.block.number)).block
    if known.hash != checkpoint.block.hash:
        raise CheckpointError(
            f"The chain was reorganised below the checkpoint, or the RPC lies: block {known.number} is {known.hash}, "
            f"the checkpoint has {checkpoint.block.hash}. Audit from the beginning."
        )
    return checkpoint.replay(known.timestamp), checkpoint.block.number + 1


async def _checks(
    chain: ChainClient, request: Request, chosen: Chosen, read: Read, replay: Replay
) -> Sequence[Check]:
    lifecycles, scores, registry = replay.lifecycles, replay.scores, replay.registry
    transactions = read.history.by_transaction() if replay.quorum else ()
    unfounded = [one for _, events in transactions for one in unfounded_suspensions(events)]
    request.announce("checking draws, transactions, storage and code")
    checks = [
        await _sources_agree(chain, request, chosen, read),
        Check("registrations follow each other", len(registry.nodes), (*registry.findings, *unfounded)),
        Check("queries keep the lifecycle", len(lifecycles.queries), tuple(lifecycles.findings)),
        Check("scores follow the formula", scores.examined, tuple(scores.findings)),
        await _draws(chain, request, chosen, replay),
        *await _statements(chain, read, replay),
        await check_storage(chain, chosen.header, replay),
        await check_code(chain, chosen.header, replay),
        await _current_scores(chain, chosen, replay),
    ]
    if replay.quorum:
        found = tuple(replay.quorum.findings)
        checks.append(Check("detectors judged by the rules", replay.quorum.examined, found))
    if request.sources:
        request.announce("compiling the sources")
        checks.append(await check_sources(chain, request.sources))
    if request.told:
        checks.append(await _told(chain, request, request.told, read, replay))
    return checks


async def _told(chain: ChainClient, request: Request, told: Told, read: Read, replay: Replay) -> Check:
    """Behind a checkpoint the older events are read again, as a coordinator tells of them too."""
    if read.history.first_block == chain.contracts.start_block:
        return await compare_with_coordinator(chain, told, replay, read.history)
    request.announce("reading older events, which the coordinator tells of")
    whole = await read_history(chain, read.history.head, chain.contracts.start_block, request.second)
    findings, events = list(whole.findings), len(whole.history.events)
    if events != replay.events:
        sentence = f"the RPC shows {events} events, the checkpoint and what came since are {replay.events}"
        findings.append(Finding(sentence))
    check = await compare_with_coordinator(chain, told, replay, whole.history)
    return replace(check, findings=(*findings, *check.findings))


async def _sources_agree(chain: ChainClient, request: Request, chosen: Chosen, read: Read) -> Check:
    """Every header was hashed anew when it was read; what a second RPC is asked besides is named here."""
    headers = list(read.history.headers.values())
    findings = [*chosen.findings, *read.findings]
    if request.second:
        if request.checkpoint:
            headers.append(await header_at(chain, request.checkpoint.block.number))
        findings += await confirm(request.second, headers)
    note = "" if request.second else "no second RPC was asked"
    return Check("logs and headers fit together", len(read.history.events), tuple(findings), note)


async def _draws(chain: ChainClient, request: Request, chosen: Chosen, replay: Replay) -> Check:
    head = (await chain.head()).number
    known = sorted(number for number in replay.seed_blocks() if 0 < number <= head)
    headers = await headers_at(chain, known)
    blocks = {number: header.block for number, header in headers.items()}
    findings = [*replay.check_draws(blocks), *replay.check_seeds(blocks)]
    unconfirmed = dict(headers)
    if request.second:
        findings += await confirm(request.second, list(headers.values()))
        unconfirmed = {}
    elif request.pinned:
        oldest = chosen.header.block.number - REACH_BLOCKS
        unconfirmed = {number: one for number, one in headers.items() if number < oldest}
        reached = {number: one for number, one in headers.items() if number >= oldest}
        findings += await follow_parents(chain, chosen.header, reached)
    drawn = len(replay.lifecycles.replacements) + len(replay.quorum.panels.seeds if replay.quorum else ())
    note = "nobody but this RPC confirms the blocks that seeded them" if unconfirmed else ""
    if unconfirmed and request.pinned:
        note = (
            f"{len(unconfirmed)} blocks that seeded them are more than {REACH_BLOCKS} before the pinned one"
        )
    return Check("draws repeat from their seeds", drawn, tuple(findings), note)


async def _statements(chain: ChainClient, read: Read, replay: Replay) -> tuple[Check, Check]:
    """Read every transaction with an event, and compare what it says."""
    groups = list(read.history.by_transaction())
    found = await read_transactions(chain, [position.transaction_hash for position, _ in groups])
    reader = StatementReader(Replayed(chain.contracts, replay.registry, replay.lifecycles, replay.quorum))
    for position, events in groups:
        reader.apply(found[position.transaction_hash], events, read.history.time_of(events[0]))
    tally = reader.tally
    answers = await ask_wallets(chain, tally.wallets)
    notes = [f"transactions through other contracts: {reader.passed_on}"] if reader.passed_on else []
    notes += [f"{answers.unknown} wallets could not be asked"] if answers.unknown else []
    findings = (*tally.findings, *answers.findings)
    return (
        Check("events say what was signed and sent", tally.signatures, findings, "; ".join(notes)),
        Check("results are the hash of their shares", tally.results, tuple(tally.wrong_results)),
    )


async def _current_scores(chain: ChainClient, chosen: Chosen, replay: Replay) -> Check:
    """What the contract's view shows at the audited block, decayed to its time."""
    nodes, now, book = list(replay.scores.book.records), chosen.header.block, replay.scores.book
    findings: list[Finding] = []
    for start in range(0, len(nodes), _SCORES_AT_ONCE):
        wanted = nodes[start : start + _SCORES_AT_ONCE]
        expected = tuple(book.score_of(node, now.timestamp) for node in wanted)
        shown = await ask_again(partial(chain.scores_of, wanted, now.number), expected.__eq__)
        for node, score, right in zip(wanted, shown, expected, strict=True):
            if score != right:
                sentence = f"{node} shows {score / 1e9:.9f}, the formula gives {right / 1e9:.9f}"
                findings.append(Finding(sentence, (node,)))
    return Check("today's scores are the records' decayed", len(nodes), tuple(findings))


def _anchor(chosen: Chosen, checkpoint: Checkpoint | None) -> Anchor:
    if chosen.anchor.block is None and checkpoint and checkpoint.anchored:
        return Anchor(AnchorKind.CHECKPOINT, checkpoint.block.number)
    return chosen.anchor


def _checkpoint(
    chain: ChainClient, periods: Periods, request: Request, replay: Replay, report: Report, chosen: Chosen
) -> Checkpoint | None:
    """Return where to go on; an audit of one node or query says nothing about the others' findings, so that it keeps
    none."""
    if not report.ok or not request.scope.everything:
        return None
    ref = chosen.header.block.ref
    return Checkpoint.of(replay, chain.contracts, periods, ref, anchored=report.anchored)
