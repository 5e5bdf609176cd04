"""Processes without some of their standard streams, as some services start them."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from peers.patience import PATIENCE

if sys.platform == "win32":
    import msvcrt

if TYPE_CHECKING:
    from collections.abc import Sequence

#: As a shell of POSIX spells that they are closed.
_STDIN, _STDOUT, _STDERR = "<&-", ">&-", "2>&-"
_ATTRIBUTES: Final = {_STDIN: "hStdInput", _STDOUT: "hStdOutput", _STDERR: "hStdError"}


def run_without(
    closed: str, command: Sequence[object], **more: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run a command without the streams in *closed*, such as `<&- 2>&-`; capture the others."""
    words = [str(word) for word in command]
    if sys.platform == "win32":
        return _run_on_windows(closed.split(), words, **more)
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *words]
    return subprocess.run(shell, capture_output=True, timeout=PATIENCE, check=False, **more)


if sys.platform == "win32":

    def _run_on_windows(
        closed: list[str], words: list[str], **more: Any
    ) -> subprocess.CompletedProcess[bytes]:
        theirs = {_STDIN: os.open(os.devnull, os.O_RDONLY)}
        ours = {}
        for stream in (_STDOUT, _STDERR):
            ours[stream], theirs[stream] = os.pipe()
        handles = {stream: msvcrt.get_osfhandle(end) for stream, end in theirs.items()}
        given = [handle for stream, handle in handles.items() if stream not in closed]
        startup = subprocess.STARTUPINFO(
            dwFlags=subprocess.STARTF_USESTDHANDLES, lpAttributeList={"handle_list": given}
        )
        for stream, handle in handles.items():
            os.set_handle_inheritable(handle, stream not in closed)
            setattr(startup, _ATTRIBUTES[stream], 0 if stream in closed else handle)
        with ThreadPoolExecutor() as pool:
            with subprocess.Popen(words, startupinfo=startup, **more) as process:
                for end in theirs.values():
                    os.close(end)
                out, err = (pool.submit(_read, end) for end in ours.values())
                process.wait(PATIENCE)
            return subprocess.CompletedProcess(
                words, process.returncode, out.result(), err.result()
            )

    def _read(end: int) -> bytes:
        with os.fdopen(end, "rb") as file:
            return file.read()
