"""Small pure parts at the coordinator's edges: wake-ups, endpoints, settings, text, streams."""

import asyncio
import tomllib
from pathlib import Path

import pytest

from coordinator.errors import Malformed, TooMany
from coordinator.gatekeeper import check_text
from coordinator.nodes.endpoints import check_endpoint
from coordinator.nodes.errors import BadRegistration
from coordinator.quota import Quota
from coordinator.rpc.streams import MAX_WAITING, AgentStream, ReplacedStream, Streams
from coordinator.scrubbing import pseudonym
from coordinator.settings import CONFIG_NAME, Settings, SettingsError, load, render
from coordinator.wakeups import Topic, Wakeups
from soterone.domain.ids import Account
from soterone.rpc.generated import coordinator_pb2 as pb

NODE = Account("0x" + "11" * 20)


async def test_a_bell_remembers_what_rang_before_the_wait() -> None:
    wakeups = Wakeups()
    with wakeups.listen(Topic.OFFERS) as bell:
        wakeups.notify(Topic.OFFERS)
        assert await bell.wait(0)
        wakeups.notify(Topic.CHAIN)
        assert not await bell.wait(0)


@pytest.mark.parametrize(
    "endpoint", ["node.example:443", "203.0.113.7:1", "10.0.0.5:65535", "[2001:db9::1]:80"]
)
def test_endpoints_of_other_machines_are_fine(endpoint: str) -> None:
    check_endpoint(endpoint, "coordinator.example")


@pytest.mark.parametrize(
    "endpoint",
    [
        "127.0.0.1:80", "localhost:80", "x.localhost:80", "[::1]:80", "[::ffff:127.0.0.1]:80", "169.254.169.254:80",
        "[fe80::1]:80", "0.0.0.0:80", "224.0.0.1:80", "240.0.0.1:80", "node.example:0", "node.example:65536",
    ],
)  # fmt: skip
def test_endpoints_that_lead_back_or_nowhere_are_refused(endpoint: str) -> None:
    with pytest.raises(BadRegistration):
        check_endpoint(endpoint, "coordinator.example")


def test_loopback_is_fine_in_a_network_on_one_machine() -> None:
    check_endpoint("127.0.0.1:5000", "127.0.0.1")
    check_endpoint("localhost:5000", "localhost")


def test_settings_survive_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "deployment_file": tmp_path / 'with "quotes"',
        "key_file": tmp_path / "key",
        "chain_rpc": "http://127.0.0.1:1",
        "chain_ws": None,
        "rest_port": 8443,
        "heartbeat_interval_seconds": 0.5,
        "cors_origins": ["https://a.example", "https://b.example"],
    }
    (tmp_path / CONFIG_NAME).write_text(render(values))
    monkeypatch.setenv("SOTER_REST_PORT", "9443")
    settings = load(tmp_path)
    assert settings.deployment_file == values["deployment_file"]
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert settings.rest_port == 9443
    assert settings.patience_seconds == 1.5
    assert tomllib.loads(render(values))["rest_port"] == 8443


@pytest.mark.parametrize("text", ["rest_port = 70000\n", "unknown = 1\n", "rest_port = \n"])
def test_wrong_settings_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / CONFIG_NAME).write_text(text)
    with pytest.raises(SettingsError, match=CONFIG_NAME):
        load(tmp_path)


def test_control_characters_do_not_get_into_the_file() -> None:
    with pytest.raises(SettingsError):
        render({"chain_rpc": "http://x\nkey_file = 'y'"})


def test_the_certificate_names_what_others_know(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path, deployment_file=tmp_path, key_file=tmp_path, chain_rpc="http://x",
        host="0.0.0.0", public_host="soter.example",  # noqa: S104
    )  # fmt: skip
    assert settings.certificate_hosts == ("soter.example", "localhost", "127.0.0.1")


def scope(path: str, query: bytes = b"") -> dict[str, object]:
    return {"type": "http", "path": path, "query_string": query}


@pytest.mark.parametrize(
    ("path", "query", "body"),
    [
        ("/a\x00", b"", b""),
        ("/a", b"x=%00", b""),
        ("/a", b"x=%E2%80%AE", b""),
        ("/a", b"", b'{"a": "\\u0000"}'),
        ("/a", b"", b'{"a": "\\u202E"}'),
        ("/a", b"", '{"a": "\u2066"}'.encode()),
        ("/a", b"", b"\x80"),
    ],
)
def test_deceiving_text_is_refused(path: str, query: bytes, body: bytes) -> None:
    with pytest.raises(Malformed):
        check_text(scope(path, query), body)  # type: ignore[arg-type]


def test_honest_text_passes() -> None:
    check_text(scope("/a", b"x=%C3%A9"), '{"a": "é\\n\\t\\u00e9", "b": "שלום"}\n'.encode())  # type: ignore[arg-type]


async def test_a_stream_holds_a_bounded_number_of_messages() -> None:
    sent: list[pb.CoordinatorMessage] = []
    unread, read = asyncio.Event(), asyncio.Event()

    async def write(message: pb.CoordinatorMessage) -> None:
        await unread.wait()
        sent.append(message)
        if len(sent) == MAX_WAITING:
            read.set()

    stream = AgentStream(NODE, write)
    for _ in range(MAX_WAITING):
        stream.push(pb.CoordinatorMessage())
    assert not stream.has_room
    with pytest.raises(TooMany):
        stream.push(pb.CoordinatorMessage())
    unread.set()
    await read.wait()
    assert stream.has_room


async def test_the_newest_stream_replaces_the_older_and_only_itself_leaves() -> None:
    streams, opened = Streams(), asyncio.Event()

    async def hold() -> None:
        with streams.open(NODE, _unwritten):
            opened.set()
            await asyncio.Event().wait()

    old = asyncio.create_task(hold())
    await opened.wait()
    with streams.open(NODE, _unwritten) as new:
        with pytest.raises(ReplacedStream):
            await old
        assert streams.of(NODE) is new
    assert streams.of(NODE) is None


async def _unwritten(message: pb.CoordinatorMessage) -> None:
    raise AssertionError(f"nobody sends here: {message}")


def test_pseudonyms_differ_and_look_like_accounts() -> None:
    first, second = pseudonym(), pseudonym()
    assert first != second
    assert first.startswith("0x" + "0" * 24)
    assert len(first) == 42


def test_a_quota_counts_each_key_and_forgets() -> None:
    quota = Quota(2, "streams")
    with quota.hold("a"), quota.hold("a"), quota.hold("b"), pytest.raises(TooMany, match="2 streams"):
        quota.check("a")
    with pytest.raises(ValueError), quota.hold("a"):
        raise ValueError
    with quota.hold("a"), quota.hold("a"):
        quota.check("b")
    assert not quota._held
