"""Accept loopback connections in a thread, and serve each in a thread of its own."""

from __future__ import annotations

import contextlib
import ctypes
import socket
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Listener:
    """A port of 127.0.0.1 that can be opened late, closed as if killed, and opened again.

    Attributes:
        port: The TCP port, the same after every start.
        accepted: How many connections were accepted.
        stopping: Set while the listener is closed; what waits for anything must watch it.
    """

    def __init__(
        self, serve: Callable[[socket.socket], None], *, listen_after: float = 0.0
    ) -> None:
        """Reserve a port; until *listen_after* seconds after the start, connections are refused."""
        self._serve = serve
        self._listen_after = listen_after
        self._reserved = self._bound(0)
        self.port: int = self._reserved.getsockname()[1]
        self.accepted = 0
        self.stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._handles: list[socket.socket] = []
        self._lock = threading.Lock()

    def start(self) -> None:
        """Open the port; returns when it listens, unless that is to happen later."""
        self.stopping.clear()
        if self._reserved.fileno() < 0:
            self._reserved = self._bound(self.port)
        if not self._listen_after:
            self._reserved.listen(128)
        self._spawn(self._accept, self._reserved)

    def stop(self) -> None:
        """Close the port and every connection at once, as the end of the process would."""
        self.stopping.set()
        with contextlib.suppress(OSError):  # never listened, or macOS, where close is enough
            self._reserved.shutdown(socket.SHUT_RDWR)
        self._reserved.close()
        self.drop_connections()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), f"{thread.name} does not end"
        self._threads.clear()

    def drop_connections(self) -> None:
        """Close every connection and leave the port open."""
        with self._lock:
            for handle in self._handles:
                with contextlib.suppress(OSError):  # the other end was faster
                    handle.shutdown(socket.SHUT_RDWR)
                if sys.platform == "win32":  # where a read that has begun goes on waiting
                    ctypes.windll.kernel32.CancelIoEx(ctypes.c_void_p(handle.fileno()), None)

    def _bound(self, port: int) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.settimeout(0.1)  # for platforms where closing does not end a blocked accept
        sock.bind(("127.0.0.1", port))
        return sock

    def _spawn(self, target: Callable[[socket.socket], None], sock: socket.socket) -> None:
        thread = threading.Thread(target=target, args=(sock,), name=f"peer:{self.port}")
        self._threads.append(thread)
        thread.start()

    def _accept(self, listening: socket.socket) -> None:
        if self._listen_after:
            if self.stopping.wait(self._listen_after):
                return
            listening.listen(128)
        while not self.stopping.is_set():
            try:
                accepted = listening.accept()[0]
            except TimeoutError:
                continue
            except OSError:  # closed by stop()
                return
            accepted.settimeout(None)
            self.accepted += 1
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._spawn(self._run, accepted)

    def _run(self, accepted: socket.socket) -> None:
        # TLS takes the socket over; a second handle lets stop() end a blocked read. It is closed
        # last, and only then the other end sees the end.
        with accepted.dup() as handle:
            with self._lock:
                self._handles.append(handle)
            with accepted, contextlib.suppress(OSError):  # the client may leave at any moment
                if self.stopping.is_set():
                    handle.shutdown(socket.SHUT_RDWR)
                self._serve(accepted)
            with self._lock:
                self._handles.remove(handle)
