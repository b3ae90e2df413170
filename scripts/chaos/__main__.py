"""`make chaos`: runs the matrix, prints it, and says how many queries were lost, doubled or stuck."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from scripts.chaos.campaign import run_cells
from scripts.chaos.cells import chosen
from scripts.chaos.namespaces import NoNamespaces, enter, inside
from scripts.chaos.outcome import Outcome, Verdict
from scripts.chaos.report import closing_line, line_of, print_matrix

console = Console(soft_wrap=True, highlight=False)


def main(
    only: Annotated[
        list[str] | None, typer.Option(help="Cells by name, such as mpc/training/kill or owner/*.")
    ] = None,
    list_cells: Annotated[bool, typer.Option("--list", help="Name the cells and run none.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the outcomes here as JSON.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where networks live; failed ones stay there.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the folders of all networks.")] = False,
) -> None:
    """Break everything, everywhere, one thing at a time; exit 1 unless every query ends well."""
    cells = chosen(only or [])
    if list_cells:
        for cell in cells:
            console.print(cell.name)
        return
    if not cells:
        raise typer.BadParameter("no cell has such a name; see --list")
    with_cuts = _enter_namespaces()
    signal.signal(signal.SIGTERM, _interrupt)
    began = time.monotonic()
    place = folder or Path(tempfile.mkdtemp(prefix="soterone-chaos-"))
    outcomes = []
    for outcome in run_cells(cells, place, with_cuts=with_cuts, keep=keep):
        console.print(line_of(outcome))
        outcomes.append(outcome)
    print_matrix(console, outcomes)
    if json_file is not None:
        json_file.write_text(json.dumps([_document(one) for one in outcomes], indent=2) + "\n")
    console.print(f"[dim]{(time.monotonic() - began) / 60:.1f} min; networks with a failure: {place}[/]")
    console.print(closing_line(outcomes))
    bad = [one for one in outcomes if one.verdict not in (Verdict.OK, Verdict.SKIPPED)]
    sys.exit(1 if bad else 0)


def _document(outcome: Outcome) -> dict[str, object]:
    return {
        "cell": outcome.cell.name,
        "verdict": outcome.verdict,
        "end": outcome.end,
        "seconds": asdict(outcome.times),
        "complaints": [f"{one.verdict}: {one.sentence}" for one in outcome.complaints],
    }


def _enter_namespaces() -> bool:
    try:
        enter(["-m", "scripts.chaos", *sys.argv[1:]])
    except NoNamespaces as error:
        console.print(f"[bold yellow]no link will be cut, and every such cell is skipped: {error}[/]")
    return inside()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    typer.run(main)
