"""Publish on a topic of the task's own, declared once with the type of its payload."""

from dataclasses import dataclass
from pathlib import Path

from epm_task import TaskContext, Topic, task


@dataclass
class Finding:
    """One file and its mode."""

    path: str
    mode: str


FINDINGS = Topic("Jobs/key-scanner/findings", payload=Finding)


@task(job_id="key-scanner", publishes=[FINDINGS], timeout_seconds=600)
def publish_findings(ctx: TaskContext, *, root: Path = Path("examples")) -> dict[str, int]:
    """Publish the mode of every Python file below ROOT."""
    found = 0
    for path in ctx.track(sorted(root.rglob("*.py")), "publishing"):
        ctx.publish(FINDINGS, Finding(str(path), f"{path.stat().st_mode & 0o777:04o}"))
        found += 1
    ctx.log.info("findings_published", found=found)
    return {"found": found}


if __name__ == "__main__":
    publish_findings.main()
