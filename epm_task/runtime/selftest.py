"""Tell whether a program has all that a run needs, without an agent (`--selftest`)."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from epm_task.errors import TaskError, sentence
from epm_task.runtime.invocation import one_file_build
from epm_task.runtime.manifest import ManifestError, differences, program_folder, read_manifest
from epm_task.runtime.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from epm_task.runtime.handler import Handler

#: What every run loads, and who says its version.
_LIBRARIES: Final = {"httpx": "httpx", "paho.mqtt": "paho-mqtt"}
_TYPED: Final = {"pydantic": "pydantic", "pydantic_settings": "pydantic-settings"}
_MOST_SHOWN: Final = 20


def selftest(tasks: Mapping[str, Handler], version: str) -> Outcome:
    """Return what `--selftest` prints, with exit code 0 when nothing is wrong, else 1."""
    lines = [
        f"{'epm-task':<20} {version}",
        f"{'python':<20} {sys.version.split()[0]} on {sys.platform}",
        f"{'program':<20} {sys.executable if getattr(sys, 'frozen', False) else sys.argv[0]}",
        f"{'tasks':<20} {', '.join(tasks)}",
    ]
    problems = list(_import_all(tasks.values(), lines))
    if one_file_build():
        problems.append("this is a one-file executable, which the agent does not trust")
    problems += _judge(program_folder(), lines)
    lines += [f"problem: {problem}" for problem in problems[:_MOST_SHOWN]]
    if len(problems) > _MOST_SHOWN:
        lines.append(f"problem: and {len(problems) - _MOST_SHOWN} more")
    lines.append(f"self-test {'failed' if problems else 'passed'}")
    text = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
    if not problems:
        return Outcome(stdout=text)
    error = sentence("the self-test failed", problems[0], "install the program anew")
    return Outcome(1, text, error)


def _import_all(handlers: Collection[Handler], lines: list[str]) -> Iterator[str]:
    wanted = {"epm_task.runtime.spine": "", **_LIBRARIES, "ssl": "openssl"}
    if any(handler.settings_type for handler in handlers) or "pydantic" in sys.modules:
        wanted |= _TYPED
    if "structlog" in sys.modules:  # the author's, or that of a library
        wanted["structlog"] = "structlog"
    if any(handler.is_async for handler in handlers):
        wanted["asyncio"] = ""
    for module, name in wanted.items():
        try:
            loaded = import_module(module)
        except Exception as error:  # noqa: BLE001  # whatever an import raises is the answer
            yield f"{module} cannot be imported: {type(error).__name__}: {error}"
            continue
        if name:
            lines.append(f"{name:<20} {_version(loaded)}")
    for handler in handlers:
        for parameter in handler.parameters:
            yield from _try_parser(parameter)


def _try_parser(parameter: Any) -> Iterator[str]:
    """Load what reads values of the parameter's type; the value itself need not be one."""
    try:
        parameter.parse("")
    except (TaskError, OSError):
        return
    except Exception as error:  # noqa: BLE001  # an import that is missing, or a type without a reader
        yield f"{parameter.option} cannot be read: {type(error).__name__}: {error}"


def _version(module: Any) -> str:
    if module.__name__ == "ssl":
        folder = module.get_default_verify_paths().openssl_cafile.rpartition("/")[0]
        return f"{module.OPENSSL_VERSION}, reads {folder}"
    parent = import_module(module.__name__.partition(".")[0])
    for holder in (module, parent):
        for name in ("__version__", "VERSION", "version"):
            # Not `getattr`: structlog looks its version up, and raises when there is no metadata.
            if isinstance(version := vars(holder).get(name), str):
                return version
    return _installed_version(module.__name__)


def _installed_version(name: str) -> str:
    from importlib import metadata  # noqa: PLC0415  # 15 ms that only a self-test pays

    try:
        return metadata.version(_LIBRARIES.get(name, name).replace("_", "-"))
    except metadata.PackageNotFoundError:
        return "present"


def _judge(folder: Path | None, lines: list[str]) -> list[str]:
    if folder is None:
        lines.append(f"{'manifest':<20} none: this is a source")
        return []
    try:
        manifest = read_manifest(folder)
    except ManifestError as error:
        lines.append(f"{'manifest':<20} unusable")
        return [str(error)]
    found = differences(folder, manifest)
    verdict = f"{len(found)} differences" if found else f"{len(manifest['files'])} files as built"
    lines.append(f"{'manifest':<20} {verdict}")
    return found
