"""What a fault does to a request of the API, or to the process of a task.

Without root, and without another PID, no real file system can be filled for one process alone. The
nearest honest thing is the kernel's limit on file size, set to 0: each write to a regular file
fails with `EFBIG` in place of `ENOSPC`, while pipes and sockets work on. Only Linux can set it from
outside.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from epm_task.simulator.web.exchange import Response, json_response, phrase_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from epm_task.simulator.faults.faults import Faults
    from epm_task.simulator.faults.rule import FaultRule
    from epm_task.simulator.processes.process import TaskProcess
    from epm_task.simulator.web.exchange import Request

#: 64 KiB at a time, so that an oversize answer does not need its own size in memory.
_CHUNK: Final = b"x" * 65_536

#: SO_LINGER with zero seconds: closing sends a reset instead of the orderly end.
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)

#: Neither UTF-8 nor JSON.
_GARBAGE: Final = b"\x00\xff\xfe{]garbage\x80" * 16


async def wrong_answer(fault: FaultRule, request: Request) -> Response | None:
    """Return the answer of a fault of kind `api`, or None when the request is served after it.

    `drip` is served first; `delay` after its seconds, for which this waits.
    """
    match fault.what:
        case "status":
            return json_response({"error": phrase_of(fault.value) or "fault"}, fault.value)
        case "redirect":
            return Response(HTTPStatus.FOUND, headers={"Location": fault.value})
        case "garbage":
            return Response(body=_GARBAGE, headers={"Content-Type": "application/json"})
        case "reset":
            return _reset(request)
        case "oversize":
            headers = {"Content-Type": "application/json", "Content-Length": str(fault.value)}
            sizes = range(fault.value, 0, -len(_CHUNK))
            return Response(headers=headers, stream=_paced(_CHUNK[:size] for size in sizes))
        case "delay":
            await asyncio.sleep(fault.value)
    return None


def drip(ready: Response, *, seconds: float) -> Response:
    """Return an answer that sends *ready* one byte at a time, with a pause after each."""
    headers = {**ready.headers, "Content-Length": str(len(ready.body))}
    parts = (ready.body[start : start + 1] for start in range(len(ready.body)))
    return Response(ready.status, headers=headers, stream=_paced(parts, pause_seconds=seconds))


async def _paced(parts: Iterable[bytes], *, pause_seconds: float = 0.0) -> AsyncGenerator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(pause_seconds)


def _reset(request: Request) -> Response:
    transport = request.client.transport
    transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
    )
    transport.abort()
    return Response(HTTPStatus.INTERNAL_SERVER_ERROR)


def disturb(
    process: TaskProcess, faults: Faults, lose: Callable[[], None], note: Callable[..., None]
) -> list[asyncio.TimerHandle]:
    """Let what *faults* say happen to a process that has just started.

    *lose* forgets its registration; *note* is told of each fault. Return the timers of what happens
    later, to be cancelled when the process has ended.
    """
    if faults.take("run", "disk_full"):
        note("fault", "fault: disk full", reason=fill_disk(process.pid))
    wanted = (
        ("registration lost", faults.take("registration", "lost"), lose),
        ("SIGTERM", faults.take("run", "term_after"), process.ask_to_stop),
        ("SIGKILL", faults.take("run", "kill_after"), process.kill),
    )
    timers = []
    for name, seconds, action in wanted:
        if seconds is not None:
            note("fault", f"fault: {name} after {seconds} s")
            timers.append(asyncio.get_running_loop().call_later(seconds, action))
    return timers


def fill_disk(pid: int) -> str:
    """Let every further write to a regular file by *pid* fail; return what was done, or why not."""
    if sys.platform != "linux":
        return "not done: only Linux can limit the file size of another process"
    import resource  # noqa: PLC0415 - the module does not exist on Windows

    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, 0))
    except OSError as error:
        return f"not done: {error}"
    return "the limit on file size is 0 bytes: writes fail with EFBIG, as they would with ENOSPC"
