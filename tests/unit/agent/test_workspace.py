"""A workspace keeps a query's bytes encrypted, notices any tampering, and leaves nothing after it is destroyed."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node_agent.workspace.folder import KEY_FILE, QuotaError, Workspace, WorkspaceError, Workspaces
from node_agent.workspace.sealed_file import CHUNK_BYTES, SealedFileError
from soterone.domain.ids import query_id

QUERY, OTHER = query_id(b"\x01" * 32), query_id(b"\x02" * 32)
MARK = b"planted value 3.14159265"


@pytest.fixture
def workspaces(tmp_path: Path) -> Iterator[Workspaces]:
    (tmp_path / "agent").mkdir()
    made = Workspaces.under(tmp_path / "agent", quota_bytes=1 << 22)
    yield made
    made.remove_orphans(set())


@pytest.fixture
def workspace(workspaces: Workspaces) -> Workspace:
    return workspaces.open(QUERY)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7])
def test_what_is_written_is_read_and_stands_nowhere_in_the_clear(workspace: Workspace, size: int) -> None:
    content = (MARK * (size // len(MARK) + 1))[:size]
    workspace.write("share-0", content)
    assert workspace.read("share-0") == content
    for file in workspace.folder.iterdir():
        assert MARK not in file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(pieces=st.lists(st.binary(max_size=40_000), max_size=8))
def test_pieces_of_any_size_make_the_same_file(workspace: Workspace, pieces: list[bytes]) -> None:
    with workspace.writer("pieces") as writer:
        for piece in pieces:
            writer.write(piece)
        writer.commit()
    assert workspace.read("pieces") == b"".join(pieces)


def flip(content: bytearray) -> bytearray:
    content[len(content) // 2] ^= 1
    return content


def cut_to_whole_chunks(content: bytearray) -> bytearray:
    return content[: 24 + CHUNK_BYTES + 16]


def swap_chunks(content: bytearray) -> bytearray:
    size, start = CHUNK_BYTES + 16, 24
    first, second = content[start : start + size], content[start + size : start + 2 * size]
    return content[:start] + second + first + content[start + 2 * size :]


def append(content: bytearray) -> bytearray:
    return content + content[-30:]


@pytest.mark.parametrize(
    "tamper", [flip, cut_to_whole_chunks, swap_chunks, append, lambda c: c[:10], lambda c: c[:0]]
)
def test_tampering_shows(workspace: Workspace, tamper) -> None:
    workspace.write("share-0", MARK * 9000)
    path = workspace.folder / "share-0.sealed"
    path.write_bytes(tamper(bytearray(path.read_bytes())))
    with pytest.raises(SealedFileError):
        workspace.read("share-0")


def test_files_cannot_be_exchanged_between_names_or_queries(
    workspaces: Workspaces, workspace: Workspace
) -> None:
    workspace.write("share-0", MARK)
    sealed = workspace.folder / "share-0.sealed"
    (workspace.folder / "share-1.sealed").write_bytes(sealed.read_bytes())
    other = workspaces.open(OTHER)
    (other.folder / "share-0.sealed").write_bytes(sealed.read_bytes())
    with pytest.raises(SealedFileError):
        workspace.read("share-1")
    with pytest.raises(SealedFileError):
        other.read("share-0")


def test_a_workspace_opens_again_after_a_restart(workspaces: Workspaces, workspace: Workspace) -> None:
    workspace.write("result-0", MARK)
    assert workspaces.open(QUERY).read("result-0") == MARK
    assert workspaces.ids() == [QUERY]


def test_nothing_is_left_after_destroy(workspaces: Workspaces, workspace: Workspace) -> None:
    workspace.write("result-0", MARK)
    exposed = workspace.scratch("attempt-0-1") / "owner-0.share"
    workspace.expose("result-0", exposed)
    assert exposed.read_bytes() == MARK
    workspace.destroy()
    assert not workspace.folder.exists()
    assert not workspace.scratch_folder.exists()
    with pytest.raises(WorkspaceError, match="destroyed"):
        workspace.read("result-0")
    with pytest.raises(WorkspaceError, match="destroyed"):
        workspace.scratch("attempt-0-2")
    workspace.destroy()
    assert workspaces.ids() == []


def test_the_key_is_overwritten_before_it_is_unlinked(workspace: Workspace) -> None:
    workspace.write("result-0", MARK)
    key = (workspace.folder / KEY_FILE).read_bytes()
    with (workspace.folder / KEY_FILE).open("rb") as kept_open:
        workspace.destroy()
        kept_open.seek(0)
        left = kept_open.read()
    assert len(left) == len(key)
    assert left != key


def test_an_abandoned_file_is_not_there_and_costs_no_quota(workspace: Workspace) -> None:
    used = workspace.used_bytes
    with workspace.writer("share-0") as writer:
        writer.write(MARK)
    assert not workspace.has("share-0")
    assert workspace.used_bytes == used
    assert [file.name for file in workspace.folder.iterdir()] == [KEY_FILE]


def test_the_quota_holds(workspace: Workspace) -> None:
    with pytest.raises(QuotaError):
        workspace.write("share-0", bytes(100 << 16))
    assert not workspace.has("share-0")
    for _ in range(100):
        workspace.write("share-1", bytes(1 << 16))


def test_plaintext_lives_on_tmpfs_for_this_user_alone(workspace: Workspace) -> None:
    scratch = workspace.scratch("attempt-0-1")
    assert scratch.is_relative_to("/dev/shm")
    for folder in (scratch, scratch.parent, scratch.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_somebody_put_in_the_way_is_refused(
    workspaces: Workspaces, workspace: Workspace
) -> None:
    workspaces.scratch_root.mkdir(mode=0o755)
    workspaces.scratch_root.chmod(0o755)
    with pytest.raises(WorkspaceError, match="open to others"):
        workspace.scratch("attempt-0-1")


def test_a_disk_is_not_taken_for_tmpfs(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="not a tmpfs"):
        Workspaces.under(tmp_path, 1, tmpfs=tmp_path)


def test_orphans_go_at_the_start(workspaces: Workspaces, workspace: Workspace) -> None:
    other = workspaces.open(OTHER)
    other.write("result-0", MARK)
    scratch = workspace.scratch("attempt-0-1")
    assert workspaces.remove_orphans({QUERY}) == [OTHER]
    assert workspaces.ids() == [QUERY]
    assert not scratch.exists()


@pytest.mark.parametrize("name", ["../key", "a/b", "", ".hidden", "A", "x" * 80])
def test_names_stay_inside(workspace: Workspace, name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        workspace.write(name, b"")
