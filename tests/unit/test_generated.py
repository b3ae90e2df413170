"""Generated files are those that generating gives."""

from pathlib import Path

import pytest

from scripts import gas_table
from scripts.gas import TARGETS
from scripts.generate_rpc import RPC, generate


def test_the_rpc_stubs_are_generated_from_the_definitions(tmp_path: Path) -> None:
    generate(tmp_path)
    committed = RPC / "generated"
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {path.name for path in committed.iterdir() if path.is_file()}
    assert [name for name in names if (tmp_path / name).read_bytes() != (committed / name).read_bytes()] == []


def test_the_gas_tables_have_the_measured_figures() -> None:
    assert gas_table.main(["--check"]) == 0


def test_every_measured_operation_is_in_one_row() -> None:
    operations = [one for row in gas_table.ROWS for one in row.operations]
    assert sorted(operations) == sorted(TARGETS)


def test_a_figure_that_moved_makes_the_tables_stale() -> None:
    figures = dict.fromkeys(TARGETS, 12_345)
    assert gas_table.page(figures).count("12,345") == len(TARGETS)
    text = f"before\n{gas_table.BEGIN}| old |\n{gas_table.END}after\n"
    renewed = gas_table.readme(text, figures)
    assert renewed.count("12,345") == len(TARGETS)
    assert renewed.startswith("before\n")
    assert renewed.endswith("after\n")
    assert "| old |" not in renewed
    with pytest.raises(ValueError, match="substring not found"):
        gas_table.readme("no marks", figures)
