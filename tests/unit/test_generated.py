"""Generated files are those that generating gives."""

from pathlib import Path

from scripts.generate_rpc import RPC, generate


def test_the_rpc_stubs_are_generated_from_the_definitions(tmp_path: Path) -> None:
    generate(tmp_path)
    committed = RPC / "generated"
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {path.name for path in committed.iterdir() if path.is_file()}
    assert [name for name in names if (tmp_path / name).read_bytes() != (committed / name).read_bytes()] == []
