"""A report as lines for a person, and as one JSON document for a program."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from soterone.audit.report import Check, Report, Step


def as_document(report: Report) -> dict[str, Any]:
    """Return the report as JSON may hold it, verdicts included."""
    checks = [
        {**asdict(one), "ok": one.ok, "contradictions": list(one.contradictions)} for one in report.checks
    ]
    verdict = {"ok": report.ok, "anchored": report.anchored, "anchor_sentence": anchor_of(report)}
    return {**asdict(report), **verdict, "checks": checks}


def as_lines(report: Report) -> Iterator[str]:
    """Yield the report line by line: what was audited, each check with its figure, each contradiction, the verdict."""
    yield title_of(report)
    yield anchor_of(report)
    width = max(len(one.name) for one in report.checks)
    yield from (_line(one, width) for one in report.checks)
    for check in report.checks:
        yield from (f"✗ {sentence}" for sentence in check.contradictions)
    yield from (step_line(one) for one in report.steps)
    yield verdict_of(report)


def title_of(report: Report) -> str:
    """Say what was audited."""
    subject = "everything"
    if report.scope.query:
        subject = f"query {report.scope.query}"
    elif report.scope.node:
        subject = f"node {report.scope.node}"
    new = report.new_events
    read = f"{report.events} events, {'all' if new == report.events else new} read now"
    return f"Audit of chain {report.chain_id} up to block {report.last_block}: {subject}, {read}"


def anchor_of(report: Report) -> str:
    """Say who confirms the audited block."""
    return report.anchor.sentence(report.last_block)


def verdict_of(report: Report) -> str:
    """Say how it ended."""
    found = sum(len(one.findings) for one in report.checks)
    return "everything agrees" if report.ok else f"the chain contradicts itself {found} times"


def step_line(step: Step) -> str:
    """Say what one event did, and when."""
    said = ", ".join(f"{name} {value}" for name, value in step.details.items())
    return f"{when(step.time)}  block {step.block}  {step.event}: {said}"


def when(time: int) -> str:
    """Return a block's timestamp (seconds) as UTC text."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _line(check: Check, width: int) -> str:
    note = f"  ({check.note})" if check.note else ""
    return f"{'✓' if check.ok else '✗'} {check.name:<{width}}  {check.examined}{note}"
