"""Start another program for the handler: its output becomes records, and it ends with the run."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from epm_task.contract import levels
from epm_task.contract.argument_line import fits_batch
from epm_task.contract.program_text import program_text
from epm_task.errors import TaskFailed, sentence
from epm_task.process_group import ProcessGroup, has_ended, start_options
from epm_task.runtime.stop import SHIELD, start_thread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from epm_task.runtime.log.log import Log, Sink

#: A line that is longer is cut; a record has room for 128 KiB.
_LONGEST_LINE: Final = 16 * 1024
#: As much as may wait for the broker; what a child writes beyond it is counted, and dropped.
_MOST_BYTES: Final = 8 * 1024 * 1024
#: Of the output that the error of a failure shows, within the 500 bytes of the run's last line.
_LAST_LINES: Final = 5
_LAST_CHARACTERS: Final = 300
#: Between the request to end and the kill; the handler itself has two seconds.
_GRACE_SECONDS: Final = 1.0
#: What was written before the end is read in microseconds, unless another process has the pipe.
_DRAIN_SECONDS: Final = 0.3
_FIRST_GLANCE_SECONDS: Final = 0.001
_LAST_GLANCE_SECONDS: Final = 0.05
_LEVELS: Final = {"stdout": levels.INFORMATION, "stderr": levels.WARNING}

_LONGER: Final = "raise its timeout, or give it less to do"
_HEED: Final = "see what it wrote, or pass check=False and look at the exit code"

#: What a child gets of this process's environment. Loaders, interpreters and proxies obey many
#: other names, and some hold secrets.
_PASSED_ON: Final = frozenset(
    (
        *("HOME", "LANG", "LANGUAGE", "LOGNAME", "SHELL", "TMPDIR", "TZ", "USER"),
        *("ALLUSERSPROFILE", "APPDATA", "COMMONPROGRAMFILES", "COMMONPROGRAMFILES(X86)"),
        *("COMMONPROGRAMW6432", "COMPUTERNAME", "COMSPEC", "HOMEDRIVE", "HOMEPATH"),
        *("LOCALAPPDATA", "NUMBER_OF_PROCESSORS", "OS", "PATHEXT", "PROCESSOR_ARCHITECTURE"),
        *("PROGRAMDATA", "PROGRAMFILES", "PROGRAMFILES(X86)", "PROGRAMW6432", "PUBLIC"),
        *("SYSTEMDRIVE", "SYSTEMROOT", "TEMP", "TMP", "USERDOMAIN", "USERNAME", "USERPROFILE"),
        "WINDIR",
    )
)


class ChildResult(NamedTuple):
    """How a child ended.

    Attributes:
        exit_code: 0 when it did its work; on POSIX the negative number of the signal that ended it.
        stdout: What it wrote, with `capture`; "" else.
        stderr: The same.
        dropped_bytes: What it wrote beyond 8 MiB.
    """

    exit_code: int
    stdout: str = ""
    stderr: str = ""
    dropped_bytes: int = 0


class ChildFailed(TaskFailed):
    """A program that the handler started could not be started, failed, or took too long.

    Attributes:
        result: How it ended; None when it did not start.
    """

    def __init__(
        self, what: str, why: str = "", fix: str = "", *, result: ChildResult | None = None
    ) -> None:
        super().__init__(sentence(what, why, fix))
        self.what, self.why, self.fix = what, why, fix
        self.result = result


class Surroundings(NamedTuple):
    """What a child takes from its run."""

    log: Log
    sink: Sink
    trace: Mapping[str, str]


class Child:
    """One program that was started.

    Raises:
        ChildFailed: It cannot be started.
        TypeError: *words* is one text, or is empty.
    """

    def __init__(
        self,
        words: Sequence[str | os.PathLike[str]],
        around: Surroundings,
        *,
        capture: bool,
        given: str | bytes | None,
        env: Mapping[str, str] | None,
    ) -> None:
        if isinstance(words, str | bytes) or not words:
            raise TypeError('a program and its arguments are a list: ctx.run(["du", "-s", path])')
        program, *arguments = [os.fspath(word) for word in words]
        folders = search_folders()
        path = find_program(program, folders)
        _check_arguments(path, arguments)
        self.name: Final = Path(path).name
        self._around = around
        self._capture = capture
        self._kept: dict[str, bytearray] = {name: bytearray() for name in _LEVELS}
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._counting = threading.Lock()
        self._taken = self._dropped = self._steps = 0
        self._recording = False
        self._over = False
        environment = {**_environment(folders), **around.trace, **(env or {})}
        with SHIELD:  # a process that has started is known, and will be ended
            self._process = self._start([path, *arguments], environment, given is not None)
            try:
                self._group = ProcessGroup(self._process.pid)
            except BaseException:
                self._process.kill()
                self._process.wait()
                raise
            _LIVE.add(self)
        SHIELD.let_through()
        pipes = {"stdout": self._process.stdout, "stderr": self._process.stderr}
        self._readers = [
            start_thread(lambda name=name, pipe=pipe: self._read(name, pipe), f"epm-task-{name}")  # type: ignore[misc]
            for name, pipe in pipes.items()
        ]
        if given is not None:
            data = given.encode() if isinstance(given, str) else given
            start_thread(lambda: self._feed(data), "epm-task-stdin")

    def finish(self, timeout: float | None, *, check: bool) -> ChildResult:
        """Wait for its end, and end what it has left behind.

        Raises:
            ChildFailed: It failed and *check* is true, or it takes longer than *timeout* seconds.
        """
        late = False
        try:
            late = not self._await_end(timeout)
        finally:
            self.end()
        result = self._result()
        if late:
            raise self._failure(f"took longer than {timeout:g} s, and was ended", result, _LONGER)
        if check and result.exit_code:
            code = result.exit_code
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise self._failure(how, result, _HEED)
        return result

    def end(self) -> None:
        """End it with all that it has started, asking first; return when it has ended."""
        with _ENDING:
            if self not in _LIVE:
                return
            if not has_ended(self._process):
                self._group.ask_to_stop()
                self._await_end(_GRACE_SECONDS)
            else:
                self._drain()
            self._group.kill()
            self._process.wait()
            self._drain()
            self._over = True
            self._group.close()
            _LIVE.discard(self)
        if self._dropped:
            facts = {"program": self.name, "bytes": self._dropped}
            self._around.log.warning("child_output_dropped", **facts)

    @staticmethod
    def _start(
        argv: list[str],
        environment: dict[str, str],
        with_input: bool,  # noqa: FBT001
    ) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                argv,
                stdin=subprocess.PIPE if with_input else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                **start_options(),
            )
        except OSError as error:
            why = error.strerror or str(error)
            fix = "check its path, its rights and its arguments"
            raise ChildFailed(f"{argv[0]} cannot be started", why, fix) from error
        except ValueError as error:  # a NUL, or an environment that no system has
            fix = "leave that out"
            raise ChildFailed(f"{argv[0]} cannot be started", str(error), fix) from error

    def _await_end(self, seconds: float | None) -> bool:
        """Return whether it has ended within *seconds*; a stop of the run interrupts this."""
        until = None if seconds is None else time.monotonic() + seconds
        pause = _FIRST_GLANCE_SECONDS
        while not has_ended(self._process):
            left = pause if until is None else until - time.monotonic()
            if left <= 0:
                return False
            # Not `Popen.wait`: on Windows no stop would interrupt it.
            time.sleep(min(pause, left))
            pause = min(pause * 2, _LAST_GLANCE_SECONDS)
        return True

    def _drain(self) -> None:
        """Wait until all is read, or until nothing has come for a moment: somebody has the pipe.

        A record that waits for the broker is progress, too.
        """
        seen, until = -1, 0.0
        while alive := [reader for reader in self._readers if reader.is_alive()]:
            if self._steps != seen or self._recording:
                seen, until = self._steps, time.monotonic() + _DRAIN_SECONDS
            elif time.monotonic() >= until:
                return
            alive[0].join(_LAST_GLANCE_SECONDS)

    def _feed(self, data: bytes) -> None:
        pipe = self._process.stdin
        if pipe is not None:
            with contextlib.suppress(OSError):  # it reads no more
                pipe.write(data)
            with contextlib.suppress(OSError):
                pipe.close()

    def _read(self, name: str, pipe: IO[bytes]) -> None:
        line, skipped = bytearray(), 0
        with pipe:
            while chunk := os.read(pipe.fileno(), 64 * 1024):
                if self._over:
                    return
                self._steps += 1
                chunk = self._bounded(chunk)
                if self._capture:
                    self._kept[name] += chunk
                for part in chunk.splitlines(keepends=True):
                    room = _LONGEST_LINE - len(line)
                    line += part[:room]
                    skipped += len(part[room:])
                    if part.endswith((b"\n", b"\r")):
                        self._line(name, line, skipped)
                        line, skipped = bytearray(), 0
            if line:
                self._line(name, line, skipped)

    def _bounded(self, chunk: bytes) -> bytes:
        with self._counting:
            kept = chunk[: max(_MOST_BYTES - self._taken, 0)]
            self._taken += len(kept)
            self._dropped += len(chunk) - len(kept)
        return kept

    def _line(self, name: str, line: bytearray, skipped: int) -> None:
        text = program_text(bytes(line.rstrip(b"\r\n")))
        if not text:
            return
        self._last.append(text[:_LAST_CHARACTERS])
        level = _LEVELS[name]
        if not self._capture and level >= self._around.log.minimum and not self._over:
            facts: dict[str, Any] = {"stream": name, "pid": self._process.pid}
            if skipped:
                facts["truncated"] = skipped
            self._recording = True
            self._around.sink.write(level, text, facts, source=self.name)
            self._recording = False
            self._steps += 1

    def _result(self) -> ChildResult:
        texts = {name: program_text(bytes(kept)) for name, kept in self._kept.items()}
        if os.linesep != "\n":
            texts = {name: text.replace(os.linesep, "\n") for name, text in texts.items()}
        return ChildResult(self._process.returncode, **texts, dropped_bytes=self._dropped)

    def _failure(self, how: str, result: ChildResult, fix: str) -> ChildFailed:
        why = " / ".join(self._last)[-_LAST_CHARACTERS:]
        return ChildFailed(f"{self.name} {how}", why, fix, result=result)


#: The children that have not been ended.
_LIVE: Final[set[Child]] = set()
_ENDING: Final = threading.RLock()


def end_all() -> None:
    """End every child that still runs: the run is over."""
    for child in list(_LIVE):
        child.end()


async def finish_async(
    child: Child,
    timeout: float | None,  # noqa: ASYNC109  # as `Child.finish`
    *,
    check: bool,
) -> ChildResult:
    """Wait for the end of a child in a coroutine; end it when that is cancelled.

    Raises:
        ChildFailed: As `Child.finish`.
    """
    import asyncio  # noqa: PLC0415  # whoever awaits this has loaded it

    try:
        return await asyncio.to_thread(child.finish, timeout, check=check)
    except asyncio.CancelledError:
        child.end()
        raise


def search_folders() -> list[str]:
    """Return where programs are looked for: for root the system's own folders only."""
    from epm_task.trust import is_privileged  # noqa: PLC0415  # few tasks start a program

    if sys.platform == "win32":
        root = os.environ.get("SYSTEMROOT", r"C:\Windows")
        system = f"{root}\\System32"
        own = [system, root, f"{system}\\Wbem", f"{system}\\WindowsPowerShell\\v1.0"]
    else:
        own = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    if is_privileged():
        return own
    others = [
        one for one in os.environ.get("PATH", "").split(os.pathsep) if Path(one).is_absolute()
    ]
    return [*others, *(folder for folder in own if folder not in others)]


def find_program(program: str, folders: Sequence[str]) -> str:
    """Return the path of a program: a whole path, or a name that one of *folders* has.

    Raises:
        ChildFailed: It is not there, or its path depends on the working folder.
    """
    if Path(program).is_absolute():
        return program
    if Path(program).name != program:
        raise ChildFailed(
            f"{program} cannot be started",
            "the path depends on the working folder, which the agent chooses",
            "give a whole path, or a name alone",
        )
    extensions = ["", ".exe", ".com", ".cmd", ".bat"] if sys.platform == "win32" else [""]
    for folder in folders:
        for extension in extensions:
            path = Path(folder, program + extension)
            if path.is_file() and os.access(path, os.X_OK):
                return str(path)
    where = ", ".join(folders)
    raise ChildFailed(f"{program} was not found", f"none of {where} has it", "give its whole path")


def _check_arguments(path: str, arguments: Sequence[str]) -> None:
    if path.lower().endswith((".bat", ".cmd")) and not fits_batch(arguments):
        raise ChildFailed(
            f"{path} cannot be started",
            'an argument holds one of " % ! & | < > ^, which cmd.exe would read as commands',
            "start a program instead of a batch file",
        )


def _environment(folders: Sequence[str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.upper() in _PASSED_ON or name.startswith("LC_")
    }
    return {**kept, "PATH": os.pathsep.join(folders)}
