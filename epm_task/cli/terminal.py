"""A terminal may show colours, unless its user does not want them."""

from __future__ import annotations

import os
from typing import TextIO


def colorful(stream: TextIO) -> bool:
    """Return whether *stream* is a terminal whose user has not set NO_COLOR (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")
