"""Job files of the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from admin.admin_files import job_document


def write_job(job_id: str = "probe", **fields: Any) -> Path:
    """Write a valid job into the current folder and return its file."""
    file = Path(f"{job_id}.json")
    file.write_text(json.dumps(job_document(job_id, **fields)))
    return file
