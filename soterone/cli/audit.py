"""`soter audit`: check everything that the chain shows, trusting nobody but the RPC asked."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from soterone.audit.auditor import audit as run_audit
from soterone.audit.report import Report
from soterone.chain.client import ChainClient
from soterone.chain.deployment import Deployment, DeploymentError
from soterone.chain.errors import ChainError, ChainUnreachableError
from soterone.chain.records import Contracts
from soterone.cli.output import JsonFlag, console, plain, print_json, print_table
from soterone.client.errors import ClientError, Unreachable


def audit(
    rpc: Annotated[str, typer.Option(help="The RPC address of a chain node.")],
    deployment: Annotated[Path, typer.Option(help="Where the contracts stand: deployments/<chain id>.json.")],
    as_json: JsonFlag = False,
) -> None:
    """Rebuild every node, lifecycle and score from the chain's events and compare; exit status 1 on a contradiction."""
    report = audit_chain(rpc, deployment)
    if as_json:
        print_json({**asdict(report), "ok": report.ok})
    else:
        _print(report)
    if not report.ok:
        raise typer.Exit(1)


def audit_chain(rpc: str, deployment: Path) -> Report:
    """Audit the contracts of a deployment file; ClientError or Unreachable when that cannot be done."""
    try:
        contracts = Contracts.of(Deployment.load(deployment))
        return asyncio.run(_audit(rpc, contracts))
    except ChainUnreachableError as error:
        raise Unreachable(str(error)) from error
    except (ChainError, DeploymentError) as error:
        raise ClientError(str(error)) from error


async def _audit(rpc: str, contracts: Contracts) -> Report:
    async with await ChainClient.connect(rpc, contracts) as chain:
        return await run_audit(chain)


def _print(report: Report) -> None:
    rows = [("✓" if check.ok else "✗", check.name, str(check.examined)) for check in report.checks]
    title = f"Audit of chain {report.chain_id} up to block {report.last_block}, {report.events} events"
    print_table(title, ("", "check", "examined"), rows)
    for check in report.checks:
        for contradiction in check.contradictions:
            console.print(f"[red]✗[/red] {plain(contradiction)}", highlight=False, soft_wrap=True)
    console.print(
        "[green]everything agrees[/green]" if report.ok else "[red]the chain contradicts itself[/red]"
    )
