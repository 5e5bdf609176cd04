"""Start `epm-task`: list its verbs, run one, and turn errors into one line and an exit code."""

from __future__ import annotations

import io
import sys
import traceback
from typing import Annotated, Any, NoReturn

try:
    import typer
except ImportError:
    sys.exit('epm-task: the command line needs more packages; pip install "epm-task[dev]"')

from typer.core import TyperGroup

from epm_task import __version__
from epm_task.admin.errors import AdminError
from epm_task.cli.deploy import deploy
from epm_task.cli.doctor import doctor, exit_codes
from epm_task.cli.freeze import freeze, verify, verify_install
from epm_task.cli.job import explain, job, validate
from epm_task.cli.jobs import jobs
from epm_task.cli.new import new, upgrade
from epm_task.cli.output import FAILED, WRONG_USE, Failure
from epm_task.cli.policy import policy
from epm_task.cli.run import agent, run
from epm_task.contract.record import printable
from epm_task.errors import EpmTaskError, UnsafeConfiguration
from epm_task.exit_code import ExitCode
from epm_task.runtime.streams import open_missing_descriptors
from epm_task.simulator.start_error import StartError

#: Long enough for a whole first sentence; the formatter wraps it.
_SENTENCE = 200


class VerbGroups(TyperGroup):
    """A group of commands whose help has one section for each `rich_help_panel`."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the sections in the order in which their first verbs were registered."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is None or command.hidden:
                continue
            title = getattr(command, "rich_help_panel", None)
            section = sections.setdefault(title if isinstance(title, str) else "Commands", [])
            section.append((name, command.get_short_help_str(limit=_SENTENCE)))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


app = typer.Typer(
    name="epm-task",
    cls=VerbGroups,
    help="Write, run and test job tasks for Keeper Endpoint Privilege Manager.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command(rich_help_panel="Write a task")(new)
app.command(rich_help_panel="Write a task")(upgrade)
app.command(rich_help_panel="Try a task on this machine")(run)
app.command(rich_help_panel="Try a task on this machine")(agent)
app.command(rich_help_panel="Write and check job documents")(job)
app.command(rich_help_panel="Write and check job documents")(validate)
app.command(rich_help_panel="Write and check job documents")(explain)
app.command(rich_help_panel="Build and check executables")(freeze)
app.command(rich_help_panel="Build and check executables")(verify)
app.command("verify-install", rich_help_panel="Build and check executables")(verify_install)
app.command(rich_help_panel="Understand a run")(doctor)
app.command("exit-codes", rich_help_panel="Understand a run")(exit_codes)
app.add_typer(jobs, name="jobs", rich_help_panel="Administer an agent")
deploy.command()(policy)
app.add_typer(deploy, name="deploy", rich_help_panel="Administer an agent")


def _version(wanted: bool) -> None:  # noqa: FBT001  # typer passes the option so
    if wanted:
        typer.echo(f"epm-task {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[  # the callback answers
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    verbose: Annotated[  # `_defect` looks at the command line
        bool, typer.Option("--verbose", "-v", help="Show a defect with its traceback.")
    ] = False,
) -> None:
    """Write, run and test job tasks for Keeper Endpoint Privilege Manager."""


def main() -> NoReturn:
    """Run the command line and end the process."""
    code: int | None
    open_missing_descriptors()
    if sys.stdout is None:  # it was closed when Python started, as was stderr
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):  # as stderr: no text of others is a defect
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app(prog_name="epm-task", standalone_mode=False)
    except (Failure, AdminError, UnsafeConfiguration) as error:
        code = _explain(error, error.exit_code)
    except StartError as error:
        code = _explain(error, getattr(error, "exit_code", FAILED))
    except EpmTaskError as error:
        code = _explain(error, WRONG_USE)
    except typer.Abort:
        code = _explain(EpmTaskError("stopped"), 130)
    except OSError as error:
        code = _explain(EpmTaskError("the operating system refused", str(error)), FAILED)
    except Exception as error:  # noqa: BLE001  # a mistake of ours, or one of the command line
        code = _correct(error) if hasattr(error, "format_message") else _defect(error)
    sys.exit(code or 0)


def _correct(error: Any) -> int:
    """Tell what Typer says is wrong with the command line; an empty one shows the help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return int(error.exit_code)
    context = getattr(error, "ctx", None)
    verb = context.command_path if context else "epm-task"
    what = str(error.format_message()).rstrip(".")
    return _explain(EpmTaskError(what, fix=f"see {verb} --help"), int(error.exit_code))


def _defect(error: Exception) -> int:
    if "-v" in sys.argv or "--verbose" in sys.argv:
        traceback.print_exception(error)
    what = f"this is a defect of epm-task ({type(error).__name__}: {error})"
    return _explain(EpmTaskError(what, fix="see it all with epm-task -v"), ExitCode.SOFTWARE)


def _explain(error: Exception, code: int) -> int:
    """Show one line on stderr: what happened, why, and what to do."""
    sys.stderr.write(f"epm-task: {printable(str(error))}\n")
    return code
