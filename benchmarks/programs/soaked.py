"""Write records under whatever the soak prepares: few descriptors, a full disk, forks."""

import os
import resource
import time
from pathlib import Path
from typing import Literal

from ledger import ENDED, FIRST_RECORD, STARTED, STUCK_CHILDREN, WARNING_EVERY, Ledger

LEDGER = Ledger(Path(os.environ["SOAK_LEDGER"]))
WHO = int(os.environ["SOAK_WHO"])
PARENT = os.getpid()
for limit in ("NOFILE", "FSIZE"):
    if value := os.environ.get(f"SOAK_{limit}"):
        resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (int(value), int(value)))

from epm_task import TaskContext, task  # noqa: E402  # under the limits, as everything that follows

#: How long a forked child may take before it counts as stuck, in seconds.
CHILD_SECONDS = 15.0


def write(ctx: TaskContext, writer: int, count: int, gap: float, text: str) -> None:
    """Write COUNT records, and note each one when its call has returned."""
    for number in range(writer * count, (writer + 1) * count):
        log = ctx.log.info if (number + 1) % WARNING_EVERY else ctx.log.warning
        log("soaked", who=WHO, n=number, text=text)
        LEDGER.note(FIRST_RECORD + number)
        if gap:
            time.sleep(gap)


@task(job_id="soaked")
def soaked(  # noqa: PLR0913  # one option for each thing that the soak varies
    ctx: TaskContext,
    *,
    records: int,
    gap: float = 0.0,
    size: int = 0,
    answer: int = 0,
    forks: int = 0,
    child: Literal["leaves", "returns"] = "leaves",
    end: Literal["return", "raise", "exit"] = "return",
) -> dict[str, str]:
    """Write RECORDS records, and as many from each of the children."""
    LEDGER.note(STARTED)
    try:
        children = []
        for writer in range(1, forks + 1):
            write_file()
            pid = os.fork()
            if pid == 0:
                write(ctx, writer, records, gap, "x" * size)
                if child == "leaves":
                    os._exit(0)
                return {"child": str(writer)}
            children.append(pid)
        write_file()
        write(ctx, 0, records, gap, "x" * size)
        await_children(children)
    finally:
        if os.getpid() == PARENT:
            LEDGER.note(ENDED)
    if end == "raise":
        raise RuntimeError("raised by the handler")
    if end == "exit":
        raise SystemExit(3)
    return {"answer": "y" * answer}


def write_file() -> None:
    """Write a file, if the disk lets us."""
    file = Path("work")
    try:
        file.write_bytes(b"work")
    except OSError:
        print("no room for a file")
    finally:
        file.unlink(missing_ok=True)


def await_children(children: list[int]) -> None:
    """Wait for the children; end and note the one that is stuck."""
    until = time.monotonic() + CHILD_SECONDS
    for pid in children:
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > until:
                os.kill(pid, 9)
                LEDGER.note(STUCK_CHILDREN)
            time.sleep(0.005)


if __name__ == "__main__":
    soaked.main()
