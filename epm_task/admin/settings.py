"""Find out where the agent is and who calls it, from three places.

An option of the command line wins over an environment variable, that one over the table
`[tool.epm-task.admin]` of the nearest pyproject.toml. All secrets are paths.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from epm_task.admin.client import AdminClient
from epm_task.admin.credential import Credential
from epm_task.admin.errors import UnsafeConnection, WrongUse
from epm_task.admin.exchange import admin_address
from epm_task.contract.json_text import MAX_BYTES
from epm_task.contract.names import HTTPS_PORT
from epm_task.errors import UnsafeConfiguration
from epm_task.job.project import BadProject, find_project, read_table
from epm_task.trust import open_judged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The vendor's usual port; KestrelHttpsPort of appsettings.json decides.
DEFAULT_BASE_URL: Final = f"https://127.0.0.1:{HTTPS_PORT}"
NAMES: Final = ("base_url", "cert", "key", "cacert")
_PREFIX: Final = "EPM_TASK_ADMIN_"
_TABLE: Final = "[tool.epm-task.admin]"


class Found(NamedTuple):
    """One setting with the place that it came from, and the folder that its path starts from."""

    value: str
    place: str
    folder: Path


class AdminSettings(NamedTuple):
    """Where the agent is, who calls, and by setting whence it came: option, variable or file."""

    base_url: str
    credential: Credential
    places: dict[str, str]

    def client(self) -> AdminClient:
        """Return a client.

        Raises:
            AdminError: A setting cannot be used; the message says where it came from.
        """
        try:
            return AdminClient(self.base_url, self.credential)
        except (WrongUse, UnsafeConnection) as error:
            origins = ", ".join(f"{name} from {place}" for name, place in self.places.items())
            raise type(error)(error.what, error.why, f"{error.fix} ({origins})") from error


def read_admin_settings(
    options: Mapping[str, str | Path | None], environ: Mapping[str, str], folder: Path
) -> AdminSettings:
    """Return the settings; the search for pyproject.toml begins in *folder*, upwards.

    Raises:
        WrongUse: The table holds an unknown key, or what is not text.
        UnsafeConnection: Another user can write the table's file, or the base URL is not usable.
    """
    found = dict(_of_table(folder))
    for name in NAMES:
        variable = _PREFIX + name.upper()
        if (option := options.get(name)) is not None:
            found[name] = Found(str(option), f"--{name.replace('_', '-')}", Path())
        elif environ.get(variable):
            found[name] = Found(environ[variable], variable, folder)
    base_url = found.get("base_url", Found(DEFAULT_BASE_URL, "the vendor's usual port", folder))
    try:
        admin_address(base_url.value)
    except UnsafeConnection as error:
        why = f"{error.why} (it came from {base_url.place})"
        raise UnsafeConnection(error.what, why, error.fix) from None
    paths = {name: each.folder / Path(each.value).expanduser() for name, each in found.items()}
    return AdminSettings(
        base_url.value,
        Credential(paths.get("cert"), paths.get("key"), paths.get("cacert")),
        {"base_url": base_url.place} | {name: each.place for name, each in found.items()},
    )


def _of_table(folder: Path) -> Iterator[tuple[str, Found]]:
    if (file := find_project(folder)) is None:
        return
    try:
        opened, fault = open_judged(file)
        with opened:
            table = read_table(file, "tool", "epm-task", "admin", data=opened.read(MAX_BYTES))
    except BadProject as error:
        raise WrongUse.of(error) from None
    except OSError as error:
        why = error.strerror or str(error)
        raise WrongUse(f"{file} cannot be read", why, "correct it") from None
    except UnsafeConfiguration as error:
        raise UnsafeConnection.of(error) from None
    if table and fault:  # whoever writes it decides whom a certificate is shown to
        raise UnsafeConnection.of(fault, f"{_TABLE} of {file} was not used")
    place = f"{_TABLE} of {file}"
    for name, value in table.items():
        if name not in NAMES:
            raise WrongUse(f"{place} holds {name!r}", fix=f"use one of {', '.join(NAMES)}")
        if not isinstance(value, str) or not value:
            raise WrongUse(f"{name} in {place} is not text", fix=f'write {name} = "…"')
        yield name, Found(value, place, file.parent)
