"""Prints while it is imported, before its task runs."""

from epm_task import task

print("importing")


@task(job_id="key-scanner")
def loud_module() -> dict[str, str]:
    """Return something."""
    return {"said": "nothing"}


print("imported")

if __name__ == "__main__":
    print("starting")
    loud_module.main()
