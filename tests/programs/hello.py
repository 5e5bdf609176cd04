"""Says hello: the smallest task."""

from __future__ import annotations

from epm_task import task


@task
def hello(*, name: str = "world") -> dict[str, str]:
    """Greet NAME."""
    return {"greeting": f"Hello {name}"}


if __name__ == "__main__":
    hello.main()
