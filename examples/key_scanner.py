"""Count what may be private keys below a folder: settings, parameters, a record and a result."""

from pathlib import Path

from epm_task import TaskContext, TaskFailed, TaskSettings, task


class ScannerSettings(TaskSettings, plugin="KeyScanner"):
    """What an administrator sets for the plugin KeyScanner."""

    max_bytes: int = 65_536


@task(job_id="key-scanner", every_minutes=60, timeout_seconds=600)
def key_scanner(
    ctx: TaskContext, settings: ScannerSettings, *, root: Path = Path("/etc"), suffix: str = ".pem"
) -> dict[str, int]:
    """Count the files below ROOT that may hold a private key."""
    if not root.is_dir():
        raise TaskFailed(f"{root} is not a directory")
    files = (path for path in root.rglob(f"*{suffix}") if path.is_file())
    found = sum(path.stat().st_size <= settings.max_bytes for path in files)
    ctx.log.info("scan_finished", root=str(root), found=found)
    return {"found": found}


if __name__ == "__main__":
    key_scanner.main()
