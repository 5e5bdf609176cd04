"""A task in which a debugger was forgotten: `breakpoint()`, or that of pdb."""

from __future__ import annotations

import pdb  # noqa: T100

from epm_task import task


@task
def forgotten(*, direct: bool = False) -> dict[str, int]:
    """Ask for a debugger."""
    if direct:
        pdb.set_trace()  # noqa: T100
    breakpoint()  # noqa: T100
    return {"a": 1}


if __name__ == "__main__":
    forgotten.main()
