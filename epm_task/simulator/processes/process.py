"""Start the process of a task, capture its output, and end it with all that descends from it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from typing import TYPE_CHECKING, Final, Self, cast

from epm_task.simulator.processes.tree import birth, lives

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import psutil

if sys.platform == "win32":
    from epm_task.simulator.processes import windows as platform
else:
    from epm_task.simulator.processes import posix as platform

#: One variable more than the field gives a task: by it we find what leaves the process group.
MARKER: Final = "EPM_SIMULATOR_RUN"

#: How long an ended process may take to vanish after SIGKILL.
_KILL_SECONDS: Final = 2.0
#: How long the outputs may stay open when no process of the run is left to write to them.
_END_OF_OUTPUT_SECONDS: Final = 1.0
_FIRST_POLL_SECONDS: Final = 0.01
_LAST_POLL_SECONDS: Final = 0.2


class _Streams(asyncio.SubprocessProtocol):
    """Lead what the process writes to its captures."""

    def __init__(self, out: Capture, err: Capture) -> None:
        self._open = {1: out, 2: err}
        self.on_exit: Callable[[], None] | None = None
        self.exited: asyncio.Event = asyncio.Event()
        self.ended: asyncio.Event = asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Take what came on stdout or stderr."""
        self._open[fd].feed(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002
        """Take the end of stdout or stderr."""
        if capture := self._open.pop(fd, None):
            capture.finish()
        if not self._open:
            self.ended.set()

    def process_exited(self) -> None:
        """Take the end of the process itself."""
        self.exited.set()
        if self.on_exit:
            self.on_exit()


class TaskProcess:
    """A running process in a group of its own; made by `start`."""

    def __init__(
        self, transport: asyncio.SubprocessTransport, streams: _Streams, group: platform.Group
    ) -> None:
        self._transport = transport
        self._streams = streams
        self._group = group
        #: Whoever was a member once stays one, also when nothing shows it any more.
        self._seen: set[psutil.Process] = set()
        self.pid: Final[int] = transport.get_pid() or 0
        #: Guards the PID against reuse; see `tree.birth`.
        self.birth: Final = birth(self.pid)

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        captures: tuple[Capture, Capture],
        run_id: str,
    ) -> Self:
        """Start *argv* in a process group of its own; *captures* take stdout and stderr.

        Raises:
            OSError: The program cannot be started.
            ValueError: An argument cannot be passed, for example one with a NUL character.
        """
        transport, streams = await asyncio.get_running_loop().subprocess_exec(
            lambda: _Streams(*captures),
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            cwd=cwd,
            env={**env, MARKER: run_id},
            **platform.start_options(),
        )
        try:
            group = platform.Group(transport.get_pid() or 0, MARKER, run_id)
        except BaseException:
            transport.close()  # it kills the process
            raise
        return cls(transport, streams, group)

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal, or None while the process runs."""
        return self._transport.get_returncode()

    async def exited(self) -> int:
        """Wait for the process itself, not for its descendants; return the exit code."""
        await self._streams.exited.wait()
        return cast("int", self.exit_code)

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the whole group (Windows: CTRL_BREAK, or kill it without a console)."""
        self._group.ask_to_stop(alive=self._alive)

    def interrupt(self) -> None:
        """Send the whole group what Ctrl-C is: SIGINT (Windows: as `ask_to_stop`)."""
        self._group.interrupt(alive=self._alive)

    def kill(self) -> None:
        """Kill the whole group."""
        self._group.kill(alive=self._alive)

    async def members(self) -> list[psutil.Process]:
        """Return the living processes of this run, the first one included."""
        found = await asyncio.to_thread(self._group.members, alive=self._alive)
        self._seen = {*filter(lives, self._seen), *found}
        return list(self._seen)

    async def end(self, grace_seconds: float) -> None:
        """End the process and its descendants: ask, wait *grace_seconds*, kill."""
        members = await self.members()  # the children of one that ends lose their parent
        others = [process for process in members if process.pid != self.pid]
        self._group.ask_to_stop(others, alive=self._alive)
        if await self._gone(grace_seconds):
            return
        deadline = time.monotonic() + _KILL_SECONDS
        while time.monotonic() < deadline:
            self._group.kill(await self.members(), alive=self._alive)
            if await self._gone(_FIRST_POLL_SECONDS):
                return

    async def close(self) -> None:
        """Wait for the end of the outputs, and let go of the process; call it after `exited`."""
        # After that a process of another run holds the pipe; closing our end is enough.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_OF_OUTPUT_SECONDS):
                await self._streams.ended.wait()
        self.abandon()

    def abandon(self) -> None:
        """Kill the group when it still runs, and let go of the outputs as soon as it has ended."""
        if self.exit_code is None:
            self.kill()
            # Closing now would reap the process behind the back of asyncio, which then reports 255.
            self._streams.on_exit = self._transport.close
        else:
            self._transport.close()
        self._group.close()

    @property
    def _alive(self) -> bool:
        return self.exit_code is None

    async def _gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        pause = _FIRST_POLL_SECONDS
        while self.exit_code is None or await self.members():
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(min(pause, max(0.0, deadline - time.monotonic())))
            pause = min(pause * 1.5, _LAST_POLL_SECONDS)
        return True


#: Bytes kept of each stream; the agent must not grow with what a task writes.
CAPTURE_BYTES: Final = 1 << 20

#: Bytes kept of the end of each stream beside those; the run history has the last 4 KiB of it.
TAIL_BYTES: Final = 16 << 10

#: A line that is longer is reported in pieces of this many bytes.
_LINE_BYTES: Final = 1 << 20


class Capture:
    """Keep both ends of a stream, count the rest, and report each line when it is whole.

    Past *limit* bytes *on_line* is called only with lines that start with a brace, and so may be
    records.
    """

    def __init__(
        self, on_line: Callable[[bytes], None] | None = None, *, limit: int = CAPTURE_BYTES
    ) -> None:
        self._on_line = on_line
        self._limit = limit
        self._kept = bytearray()
        self._past = b""
        self._line = bytearray()
        self.dropped: int = 0

    @property
    def data(self) -> bytes:
        """The first bytes of the stream, at most *limit*."""
        return bytes(self._kept)

    @property
    def tail(self) -> bytes:
        """The last bytes of the stream, at most `TAIL_BYTES`."""
        return bytes(self._kept[-TAIL_BYTES:] + self._past)[-TAIL_BYTES:]

    @property
    def tail_is_cut(self) -> bool:
        """Whether the stream had more bytes than `tail`."""
        return len(self._kept) + self.dropped > TAIL_BYTES

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        past_cap = self.dropped > 0
        room = self._limit - len(self._kept)
        self._kept += chunk[:room]
        self.dropped += max(0, len(chunk) - room)
        if self.dropped:
            self._past = (self._past + chunk[room:][-TAIL_BYTES:])[-TAIL_BYTES:]
        if self._on_line is None:
            return
        if past_cap:
            self._report_records(chunk, self._on_line)
        else:
            self._report(chunk, self._on_line)

    def finish(self) -> None:
        """Report a last line that has no end."""
        whole = not self.dropped or self._line.startswith(b"{")
        if self._line and whole and self._on_line is not None:
            self._on_line(bytes(self._line))
        self._line.clear()

    def _report(self, chunk: bytes, on_line: Callable[[bytes], None]) -> None:
        *lines, self._line = (self._line + chunk).split(b"\n")
        for line in lines:
            on_line(bytes(line).removesuffix(b"\r"))
        if len(self._line) >= _LINE_BYTES:
            self.finish()

    def _report_records(self, chunk: bytes, on_line: Callable[[bytes], None]) -> None:
        """Report what may be a record; following 1 GB of other short lines would take minutes."""
        if b"{" in chunk or self._line.startswith(b"{"):
            self._report(chunk, lambda line: on_line(line) if line.startswith(b"{") else None)
        elif chunk:
            self._line[:] = chunk[chunk.rfind(b"\n") + 1 :]
        if not self._line.startswith(b"{"):
            del self._line[1:]  # enough to know that the next chunk starts inside another line
