"""Run `epm-task` as `python -m epm_task`."""

if __name__ == "__main__":
    from epm_task.cli.main import main

    main()
