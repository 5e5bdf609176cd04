"""How long tests wait, and what they allow for: a machine that is busy with other work."""

from peers.wine import WINE

#: When to give up on what should happen, in seconds. Who may wait so long and is back in half the
#: time has not waited, however busy the machine is. Wine needs many times as long for a process.
PATIENCE = 180.0 if WINE else 60.0

#: What a task needs at most until it asks for its settings, in seconds: one that is registered
#: later has asked too early.
STARTING = 8.0 if WINE else 2.0

#: How long a run waits for a registration or a broker that never comes, in seconds: long enough to
#: be refused more than once.
WINDOW = 5.0 if WINE else 1.0

#: What a busy machine may add to a time that is bounded, in seconds.
BUSY = 20.0
