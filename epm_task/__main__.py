"""Run `epm-task` as `python -m epm_task`."""

if __name__ == "__main__":
    try:
        from epm_task.cli.interruption import leave_at_once

        leave_at_once()
        from epm_task.cli.main import main
    except (Exception, SystemExit) as error:
        from epm_task.shadows import raise_shadow

        raise_shadow(error)
        raise
    main()
