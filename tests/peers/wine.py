"""Whether Windows here is Wine, which says so with a function of its own."""

from __future__ import annotations

import ctypes
import os
from typing import Final

WINE: Final = os.name == "nt" and hasattr(ctypes.CDLL("ntdll"), "wine_get_version")
