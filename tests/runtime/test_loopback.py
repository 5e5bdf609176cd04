"""Tests of loopback addresses: what may be the agent, and what may not."""

from __future__ import annotations

import pytest

from epm_task.errors import UnsafeAgent
from epm_task.runtime.loopback import agent_address, loopback_ip


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
