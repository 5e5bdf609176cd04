"""`python -m epm_task.cli` is `epm-task`."""

from epm_task.cli.main import main

main()
