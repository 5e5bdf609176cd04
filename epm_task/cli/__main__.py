"""Start `epm-task`, as its script and `python -m` do; Ctrl-C can end it from the start on."""

from typing import NoReturn

from epm_task.cli.interruption import leave_at_once


def main() -> NoReturn:
    """Run the command line and end the process."""
    leave_at_once()
    from epm_task.cli.main import main as run  # noqa: PLC0415  # see above

    run()


if __name__ == "__main__":
    main()
