"""How the demo tells itself: one line as each thing happens, with the seconds since the beginning."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table


class Narrator:
    """Prints a timeline. Names stand for accounts, so that a person can follow."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._names: dict[str, str] = {}

    def introduce(self, account: str, name: str) -> None:
        """Call an account by a name from now on."""
        self._names[account] = name

    def name(self, account: str) -> str:
        """Return what an account is called."""
        return self._names.get(account, f"{account[:8]}…")

    def chapter(self, title: str) -> None:
        """Begin a part of the story."""
        self._console.rule(f"[bold]{title}", align="left", style="cyan")

    def say(self, text: str, style: str = "") -> None:
        """Tell one thing."""
        seconds = time.monotonic() - self._began
        self._console.print(f"[dim]{seconds:6.1f} s[/dim]  {text}", style=style, highlight=False)

    def models(self, rows: Sequence[tuple[str, float, str]]) -> None:
        """Show how good each model is on the held-out rows."""
        table = Table(
            "model", "AUC", "", title="on the same held-out rows", title_justify="left", header_style="bold"
        )
        for name, auc, remark in rows:
            table.add_row(name, f"{auc:.4f}", remark)
        self._console.print(table)

    def reputation(self, scores: Mapping[str, Mapping[str, float]]) -> None:
        """Show how scores moved."""
        table = Table(
            "node", "before", "after", title="reputation on chain", title_justify="left", header_style="bold"
        )
        for account, score in scores.items():
            moved = (
                "[green]↑"
                if score["after"] > score["before"]
                else "[red]↓"
                if score["after"] < score["before"]
                else ""
            )
            table.add_row(self.name(account), f"{score['before']:.4f}", f"{score['after']:.4f} {moved}")
        self._console.print(table)

    def finish(self, text: str) -> None:
        """Close with what a person may do next; lines stay whole, so that commands can be copied."""
        self.chapter("What next")
        self._console.print(text, highlight=False, soft_wrap=True)
