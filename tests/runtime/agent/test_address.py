"""Tests of the addresses of API and broker: on this machine, or refused."""

from __future__ import annotations

import pytest

from epm_task.errors import SettingsError, UnsafeAgent, UnsafeBroker
from epm_task.runtime.agent.address import agent_address, broker_address, loopback_ip, origin


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://127.0.0.1:6889", ("127.0.0.1", 6889)),
        ("https://127.0.0.1:6889/", ("127.0.0.1", 6889)),
        ("https://localhost:6889", ("127.0.0.1", 6889)),
        ("https://LOCALHOST:1", ("127.0.0.1", 1)),
        ("https://127.9.8.7:1", ("127.9.8.7", 1)),
        ("https://[::1]:6889", ("::1", 6889)),
        ("https://127.0.0.1", ("127.0.0.1", 443)),
    ],
)
def test_agent_on_loopback_is_accepted(url: str, address: tuple[str, int]) -> None:
    """Https with a loopback host is the agent; names are never resolved."""
    assert agent_address(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:6889",
        "ftp://127.0.0.1:6889",
        "127.0.0.1:6889",
        "",
        "banana",
        "https://",
        "https://0.0.0.0:6889",
        "https://10.0.0.1:6889",
        "https://169.254.169.254",
        "https://example.com",
        "https://127.0.0.1@evil:6889",
        "https://user:secret@127.0.0.1:6889",
        "https://127.0.0.1:6889/api",
        "https://127.0.0.1:6889?x=1",
        "https://127.0.0.1:6889#x",
        "https://127.1:6889",
        "https://2130706433:6889",
        "https://0x7f.1:6889",
        "https://[::ffff:127.0.0.1]:6889",
        "https://[::1%lo]:6889",
        "https://[::1%é]:6889",
        "https://[::1%\x01]:6889",
        "https://127.0.0.1.:6889",
        "https://127.0.0.1:99999",
        "https://127.0.0.1:port",
        "https://[::1",
        "https://localhost.evil:6889",
    ],
)
def test_hostile_url_is_refused(url: str) -> None:
    """Everything else is refused, and told what to pass instead."""
    with pytest.raises(UnsafeAgent, match=r"KeeperApiBaseUrl"):
        agent_address(url)


def test_refusal_shows_no_endless_url() -> None:
    """A long URL is cut in the message."""
    with pytest.raises(UnsafeAgent) as refused:
        agent_address("http://" + "x" * 5000)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("host", ["::2", "1.2.3.4", "127.0.0.1\n", "", "localhost "])
def test_other_host_is_no_loopback(host: str) -> None:
    """A host that is not exactly a loopback address is none."""
    assert loopback_ip(host) is None


def test_origin_has_ipv6_in_brackets() -> None:
    """The origin of an address is what a URL begins with."""
    assert origin(("::1", 1)) == "https://[::1]:1"
    assert origin(("127.0.0.1", 2)) == "https://127.0.0.1:2"


def settings(**changes: str | None) -> dict[str, str]:
    """Return good settings with changes; None removes a key."""
    both = {
        "broker.host": "127.0.0.1",
        "broker.port": "8675",
        **{f"broker.{k}": v for k, v in changes.items()},
    }
    return {key: value for key, value in both.items() if value is not None}


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("::1", "::1")]
)
def test_broker_on_loopback_is_found(host: str, address: str) -> None:
    """Host and port come out as what a socket takes."""
    assert broker_address(settings(host=host)) == (address, 8675)


@pytest.mark.parametrize("port", ["1", " 8675 ", "65535"])
def test_every_port_is_one(port: str) -> None:
    """From the first one to the last one, with blanks around it."""
    assert broker_address(settings(port=port))[1] == int(port)


@pytest.mark.parametrize("key", ["host", "port"])
@pytest.mark.parametrize("value", [None, ""])
def test_missing_key_is_named(key: str, value: str | None) -> None:
    """A missing or empty key is told by its name."""
    with pytest.raises(SettingsError, match=rf"broker\.{key} of KeeperPrivilegeManager is missing"):
        broker_address(settings(**{key: value}))


@pytest.mark.parametrize("port", ["eighty", "0", "65536", "8675.0", "-1", "8 675", "٣", "1e3"])
def test_wrong_port_is_named_without_its_value(port: str) -> None:
    """A port that is none is told by its key, never by its value."""
    with pytest.raises(SettingsError) as refused:
        broker_address(settings(port=port))
    assert "broker.port" in str(refused.value)
    assert f"{port!r}" not in str(refused.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "broker.example", "127.0.0.1 x", "::1%é"])
def test_broker_off_loopback_is_unsafe(host: str) -> None:
    """A broker elsewhere is never talked to."""
    with pytest.raises(UnsafeBroker):
        broker_address(settings(host=host))
