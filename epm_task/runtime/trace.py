"""The trace of which a run is a part, as W3C Trace Context hands it from process to process."""

# Annotations are not texts here: a NamedTuple would compile each of them at every start.

import os
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

#: What a caller sets in the environment, as OpenTelemetry does (its specification, "Environment
#: Variables as Context Propagation Carriers").
PARENT_VARIABLE: Final = "TRACEPARENT"
STATE_VARIABLE: Final = "TRACESTATE"

#: Version, trace id, span id and flags; a later version may have more (Trace Context, 3.2).
_PARENT: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?",
    re.ASCII,
)
_KNOWN_VERSION: Final = "00"
#: Flags of a trace that begins here: it is recorded.
_SAMPLED: Final = "01"
#: A receiver takes at least so much (Trace Context, 3.3.1.5).
_MOST_STATE: Final = 512


class Trace(NamedTuple):
    """The place of a run in a trace.

    Attributes:
        trace_id: 32 hexadecimal digits, the same for all that one cause has started.
        span_id: 16 hexadecimal digits: the caller's span, or that of this run.
        flags: Two hexadecimal digits, passed on as they came.
        state: What vendors of tracing systems have added; passed on as it came.
        ignored: What the environment said and nobody can read; "" else.
    """

    trace_id: str
    span_id: str
    flags: str = _SAMPLED
    state: str = ""
    ignored: str = ""

    def environment(self) -> dict[str, str]:
        """Return what children get, so that what they record belongs to the same trace."""
        parent = f"{_KNOWN_VERSION}-{self.trace_id}-{self.span_id}-{self.flags}"
        return {PARENT_VARIABLE: parent, **({STATE_VARIABLE: self.state} if self.state else {})}


def read_trace(environ: Mapping[str, str], run_id: str) -> Trace:
    """Return the trace that *environ* names; without one the run begins its own."""
    given = environ.get(PARENT_VARIABLE, "")
    match = _PARENT.fullmatch(given)
    if match is None or (match[1] == _KNOWN_VERSION and match[5]):
        return Trace(os.urandom(16).hex(), run_id, ignored=given)
    state = environ.get(STATE_VARIABLE, "")
    usable = len(state) <= _MOST_STATE and state.isascii() and state.isprintable()
    return Trace(match[2], match[3], match[4], state if usable else "")
