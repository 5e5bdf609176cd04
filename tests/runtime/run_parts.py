"""The parts of a run, made for a test: declaration, invocation, registration."""

from __future__ import annotations

from typing import Any

from peers.patience import WINDOW

from epm_task.runtime.agent.client import Registration
from epm_task.runtime.declaration import Declaration
from epm_task.runtime.invocation import Invocation, read_trace


def declared(**facts: Any) -> Declaration:
    """Return a declaration with these facts."""
    return Declaration(
        **{"job_id": "key-scanner", "job_name": "Key scanner", "description": "", **facts}
    )


def invoked(**given: Any) -> Invocation:
    """Return an invocation that was given this."""
    standard: dict[str, Any] = {
        "keeper_api_base": "https://127.0.0.1:1",
        "ca_file": None,
        "registration_timeout": WINDOW,
        "flush_timeout": 1.0,
        "deadline": None,
        "log_level": "information",
        "client_id_template": "{job_id}_{run_id}",
        "spread": True,
        "started_by": "",
        "arguments": {},
        "job_id": "key-scanner",
        "job_name": "Key scanner",
        "run_id": "7f",
        "trace": read_trace({}, "7f"),
    }
    return Invocation(**{**standard, **given})


def registered(port: int, *, tries: int = 1) -> Registration:
    """Return a registration with an agent whose broker has this port."""
    return Registration({"broker.host": "127.0.0.1", "broker.port": str(port)}, tries, 0.25)
