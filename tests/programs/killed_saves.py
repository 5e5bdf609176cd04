"""Kill processes that save a state, and look at what is left: killed_saves.py COUNT SEED FOLDER."""

from __future__ import annotations

import json
import os
import random
import signal
import struct
import sys
import time
from pathlib import Path

from epm_task.runtime.state import State, StateFile

#: A save takes some hundred microseconds; the kill may meet any of the first ones.
LONGEST_SECONDS = 0.004


def save_for_ever(state: State, saved: int) -> None:
    """Save one number after another, and say so when each save has returned."""
    number = state.get("number", 0)
    while True:
        number += 1
        state["number"], state["filler"] = number, "x" * (number * 997 % 20_000)
        state.save()
        os.write(saved, struct.pack("<q", number))


def main(count: int, seed: int, folder: Path) -> None:
    """Print what was found."""
    chance = random.Random(seed)  # no secret
    found = dict.fromkeys(("kills", "saves", "torn", "older"), 0)
    last = 0
    for number_of_kill in range(count):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            save_for_ever(State(StateFile(folder / "job", "task")), writer)
        os.close(writer)
        told = os.read(reader, 8) if number_of_kill % 2 else b""  # the first save may be far off
        time.sleep(chance.uniform(0, LONGEST_SECONDS))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reader, "rb") as pipe:
            told += pipe.read()
        numbers = [number for (number,) in struct.iter_unpack("<q", told)]
        last = max([last, *numbers])
        found["kills"] += 1
        found["saves"] += len(numbers)
        state = State(StateFile(folder / "job", "task"))
        number = state.get("number", 0)
        found["torn"] += len(state.get("filler", "")) != number * 997 % 20_000
        found["older"] += number < last
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
