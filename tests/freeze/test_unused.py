"""Tests of the unused modules: a source start does without them too."""

from __future__ import annotations

import json
import subprocess
import sys

from epm_task.freeze.unused import SETTINGS, UNUSED, belongs_to

_SPINE = """
import json, sys, epm_task.runtime.spine, epm_task.runtime.mqtt_handshake
print(json.dumps(sorted(sys.modules)))
"""


def test_a_source_start_loads_none_of_them():
    """So leaving them out of a program changes nothing that runs."""
    done = subprocess.run([sys.executable, "-c", _SPINE], capture_output=True, check=True)
    loaded = json.loads(done.stdout)
    never = tuple(name for names in UNUSED.values() for name in names)
    assert [name for name in loaded if belongs_to(name, never)] == []
    assert {"httpx", "paho.mqtt.client", "structlog"} <= set(loaded)
    assert SETTINGS not in loaded


def test_a_package_is_no_prefix():
    """`richer` does not belong to `rich`."""
    assert belongs_to("rich.console", ("rich",))
    assert not belongs_to("richer", ("rich",))
