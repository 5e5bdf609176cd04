"""Start `epm-task`: run a verb, and turn errors into one line and an exit code."""

from __future__ import annotations

import io
import os
import sys
import traceback
from itertools import takewhile
from typing import Any, NoReturn

from epm_task import __version__
from epm_task.contract.record import printable
from epm_task.errors import EpmTaskError, TaskError, UnsafeConfiguration
from epm_task.exit_code import ExitCode
from epm_task.runtime.streams import open_missing_descriptors

#: Of a command line that cannot be carried out, as other tools have it.
_WRONG_USE = 2
#: Import names of what the extra `freeze` adds to `tools`.
_OF_FREEZE = ("PyInstaller", "cyclonedx")
#: By it a user of Python chooses another encoding of the standard streams.
_ENCODING = "PYTHONIOENCODING"


def main() -> NoReturn:
    """Run the command line and end the process."""
    _prepare_streams()
    before = takewhile(lambda word: word.startswith("-"), sys.argv[1:])
    if "--version" in before:  # needs no more than a task has
        sys.stdout.write(f"epm-task {__version__}\n")
        sys.exit(0)
    try:
        code = _run_verb()
    except KeyboardInterrupt:  # while modules were imported
        code = _explain(EpmTaskError("stopped"), ExitCode.SIGINT)
    except ModuleNotFoundError as error:
        code = _missing(error)
    except EpmTaskError as error:
        code = _explain(error, _exit_code_of(error))
    except OSError as error:
        what = f"the operating system refused {error.filename or ''}".rstrip()
        code = _explain(EpmTaskError(what, error.strerror or str(error)), ExitCode.FAILED)
    except Exception as error:  # noqa: BLE001  # a mistake of ours, or one of the command line
        code = _correct(error) if hasattr(error, "format_message") else _defect(error)
    sys.exit(code or 0)


def _prepare_streams() -> None:
    """Let stdout and stderr take all text: no text of others is a defect.

    What the encoding does not have becomes an escape. On Windows pipes and files would get the ANSI
    code page, in which nobody reads them: they get UTF-8 as on other systems, and as from a task.
    """
    open_missing_descriptors()
    if sys.stdout is None:  # it was closed when Python started, as was stderr
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            if sys.platform == "win32" and not (stream.isatty() or os.environ.get(_ENCODING)):
                stream.reconfigure(encoding="utf-8", newline="\n")
            stream.reconfigure(errors="backslashreplace")


def _run_verb() -> int | None:
    """Run the verb that the command line names; return its exit code."""
    from epm_task.runtime.start_up import collector_paused  # noqa: PLC0415  # not for a version

    with collector_paused():
        import typer  # noqa: PLC0415  # an extra

        from epm_task.cli.verbs import app  # noqa: PLC0415  # needs Typer

    try:
        code: int | None = app(prog_name="epm-task", standalone_mode=False)
    except typer.Abort:
        return _explain(EpmTaskError("stopped"), ExitCode.SIGINT)
    return code


def _exit_code_of(error: EpmTaskError) -> int:
    """Return 2 for what is wrong with a task that was read: to a verb, that is its input."""
    if isinstance(error, TaskError) and not isinstance(error, UnsafeConfiguration):
        return _WRONG_USE
    return getattr(error, "exit_code", _WRONG_USE)


def _shadowed(error: Exception) -> int | None:
    """Name the file that hides a module from us, when that is the cause; None for another."""
    from epm_task.shadows import shadow_of  # noqa: PLC0415  # a failure only

    found = shadow_of(error)
    return _explain(EpmTaskError(*found), ExitCode.FAILED) if found else None


def _missing(error: ModuleNotFoundError) -> int:
    """Say how to get a package that only the command line needs."""
    if (code := _shadowed(error)) is not None:
        return code
    package = error.name or __package__
    if package.startswith("epm_task"):
        return _defect(error)
    what = f"the package {package} is not installed, which this command needs"
    extra = "freeze" if package in _OF_FREEZE else "tools"
    return _explain(EpmTaskError(what, fix=f'pip install "epm-task[{extra}]"'), ExitCode.FAILED)


def _correct(error: Any) -> int:
    """Tell what Typer says is wrong with the command line; an empty one shows the help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return int(error.exit_code)
    context = getattr(error, "ctx", None)
    verb = context.command_path if context else "epm-task"
    what = str(error.format_message()).rstrip(".")
    fix = f"see {verb} --help"
    if context and getattr(error, "option_name", "").startswith("--"):
        from epm_task.cli.options import with_hyphens  # noqa: PLC0415  # loads Typer
        from epm_task.contract.argument_line import command_text  # noqa: PLC0415  # a mistake only

        words = sys.argv[sys.argv.index(context.info_name) + 1 :]
        if corrected := with_hyphens(context.command, words):
            fix += f"; an option of the task comes after `--`: {verb} {command_text(corrected)}"
    return _explain(EpmTaskError(what, fix=fix), int(error.exit_code))


def _defect(error: Exception) -> int:
    if (code := _shadowed(error)) is not None:
        return code
    if "-v" in sys.argv or "--verbose" in sys.argv:
        traceback.print_exception(error)
    what = f"this is a defect of epm-task ({type(error).__name__}: {error})"
    return _explain(EpmTaskError(what, fix="see it all with epm-task -v"), ExitCode.SOFTWARE)


def _explain(error: Exception, code: int) -> int:
    """Show one line on stderr: what happened, why, and what to do."""
    sys.stderr.write(f"epm-task: {printable(str(error))}\n")
    return code
