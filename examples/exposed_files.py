"""Publish private keys and setuid programs that are new, or gone, since the last run."""

import stat
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from pydantic import BaseModel

from epm_task import TaskContext, TaskFailed, Topic, task


class Finding(BaseModel):
    """A file that a security team wants to know of; the fingerprint is the same in every run."""

    fingerprint: str
    kind: str
    path: str
    status: str = "new"


class Seen(BaseModel):
    """What the last run has found, by fingerprint."""

    findings: dict[str, Finding] = {}


FOUND = Topic("Jobs/exposed-files/findings", payload=Finding)


def kind_of(path: Path) -> str:
    """Return what a file is, "" for one that nobody asks for or that cannot be read."""
    with suppress(OSError):
        if stat.S_ISREG(mode := path.lstat().st_mode):
            with path.open("rb") as file:
                named = path.suffix == ".pem" or b"PRIVATE KEY" in file.read(40)
            return "setuid" if mode & stat.S_ISUID else "key" if named else ""
    return ""


@task(every_minutes=720, spread_minutes=60, overlap="skip", timeout_seconds=900, publishes=[FOUND])
def exposed_files(ctx: TaskContext, seen: Seen, *, root: Path) -> dict[str, int]:
    """Look at all files below ROOT."""
    if not root.is_dir():
        raise TaskFailed(f"{root} is not a directory; pass another --root")
    now: dict[str, Finding] = {}
    for path in ctx.track(root.rglob("*"), "scanning"):
        if kind := kind_of(path):
            name = sha256(f"{kind} {path}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
            now[name] = Finding(fingerprint=name, kind=kind, path=str(path))
    new = [now[name] for name in now if name not in seen.findings]
    gone = [one for name, one in seen.findings.items() if name not in now]
    for finding in [*new, *(one.model_copy(update={"status": "gone"}) for one in gone)]:
        ctx.publish(FOUND, finding)
    seen.findings = now
    return {"new": len(new), "still": len(now) - len(new), "gone": len(gone)}


if __name__ == "__main__":
    exposed_files.main()
