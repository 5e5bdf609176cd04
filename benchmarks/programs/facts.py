"""What a benchmark program tells about itself at its end: resident memory and imported modules."""

import atexit
import os
import resource
import sys


def _tell() -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux, bytes on macOS
    megabytes = peak // (1024 * 1024 if sys.platform == "darwin" else 1024)
    os.write(2, f"rss_mb={megabytes} modules={len(sys.modules)}\n".encode())


def tell_at_exit() -> None:
    """Write the facts to stderr when the process ends, if the benchmark asks for them."""
    if "BENCHMARK_FACTS" in os.environ:
        atexit.register(_tell)
