"""Run `epm-task` as `python -m epm_task.cli`."""

if __name__ == "__main__":
    from epm_task.cli.main import main

    main()
