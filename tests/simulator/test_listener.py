"""A port: connections with and without TLS, handshakes that fail, and the end of everything."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from peers.mqtt_client import tls_context
from peers.patience import PATIENCE
from peers.tls import server_context

from epm_task.simulator.listener import AT_ONCE, Listener
from epm_task.simulator.start_error import listen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class _Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


def _run(
    use: Callable[[Listener, asyncio.Queue[str]], Awaitable[None]],
    protocol: type[_Echo] = _Echo,
    **options: Any,
) -> None:
    """Run *use* with a listener, and with the reasons of failed handshakes."""

    async def main() -> None:
        reasons = asyncio.Queue[str]()
        listener = Listener(
            listen("127.0.0.1", 0),
            protocol,
            on_refused=lambda _, reason: reasons.put_nowait(reason),
            **options,
        )
        try:
            await use(listener, reasons)
        finally:
            await listener.close()
            await listener.abort()

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


@pytest.mark.parametrize("secure", [False, True])
def test_bytes_go_both_ways(*, secure: bool) -> None:
    """Without TLS, and with it."""

    async def use(listener: Listener, reasons: asyncio.Queue[str]) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", listener.port, ssl=tls_context() if secure else None
        )
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        assert reasons.empty()

    _run(use, context=server_context() if secure else None)


def test_a_failed_handshake_has_a_reason() -> None:
    """Plain HTTP on a TLS port, and silence, which ends after its time."""

    async def use(listener: Listener, reasons: asyncio.Queue[str]) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert "HTTP_REQUEST" in await reasons.get()
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        assert await reader.read() == b""
        assert "longer than 0.5 seconds" in await reasons.get()
        writer.close()

    _run(use, context=server_context(), handshake_seconds=0.5)


class _Counting(_Echo):
    """Counts the handshakes that are under way; asyncio makes one at the start of each."""

    under_way: ClassVar[int]
    most: ClassVar[int]

    def __init__(self) -> None:
        _Counting.under_way += 1
        _Counting.most = max(_Counting.most, _Counting.under_way)

    def connection_made(self, transport: Any) -> None:
        _Counting.under_way -= 1
        super().connection_made(transport)


def test_many_clients_are_served_a_few_at_a_time() -> None:
    """All of a hundred at once are served, and never more than some of them share the time."""
    _Counting.under_way = _Counting.most = 0

    async def use(listener: Listener, reasons: asyncio.Queue[str]) -> None:
        async def ask() -> None:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", listener.port, ssl=tls_context(), ssl_handshake_timeout=PATIENCE
            )
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.close()

        await asyncio.gather(*(ask() for _ in range(100)))
        assert reasons.empty()

    _run(use, _Counting, context=server_context(), hold_up_seconds=PATIENCE)
    assert 1 < _Counting.most <= AT_ONCE


def test_silent_clients_do_not_keep_others_out() -> None:
    """However many say nothing, the next one is served."""

    async def use(listener: Listener, _reasons: asyncio.Queue[str]) -> None:
        port = listener.port
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2 * AT_ONCE)]
        served = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls_context(), ssl_handshake_timeout=PATIENCE
        )
        for _, writer in (served, *opened):
            writer.close()

    _run(use, context=server_context(), handshake_seconds=2 * PATIENCE, hold_up_seconds=0.02)


def test_a_closed_port_ends_handshakes_first_and_connections_when_told() -> None:
    """Nothing new is accepted; what is open goes on until `abort`."""

    async def use(listener: Listener, _: asyncio.Queue[str]) -> None:
        open_reader, open_writer = await asyncio.open_connection(
            "127.0.0.1", listener.port, ssl=tls_context()
        )
        half_reader, half_writer = await asyncio.open_connection("127.0.0.1", listener.port)
        await asyncio.sleep(0.05)
        port = listener.port
        await listener.close()
        assert await half_reader.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        open_writer.write(b"hello")
        assert await open_reader.readexactly(5) == b"hello"
        await listener.abort()
        with pytest.raises((EOFError, ConnectionError)):
            await open_reader.readexactly(1)
        for writer in (open_writer, half_writer):
            writer.close()

    _run(use, context=server_context())
