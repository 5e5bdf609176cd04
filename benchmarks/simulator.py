"""What the agent in a box costs: start, idle CPU, PID lookup, 64 tasks at once, memory, messages.

Messages per second stand beside mosquitto's, when it is installed; compare the ratio only.

    python benchmarks/simulator.py --processes 1000 --runs 500
    python benchmarks/simulator.py --tasks 128 --busy 2
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from epm_task.simulator.background import LoopThread
from epm_task.simulator.broker import Broker
from epm_task.simulator.processes.peer import peer_pid
from epm_task.simulator.processes.registry import Access, MqttAdmission, ProcessRegistry
from epm_task.simulator.trace import Trace
from epm_task.testing import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = Path(__file__).parent / "programs"


def main() -> None:
    """Print one line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=200, help="for the PID lookup (200)")
    parser.add_argument("--runs", type=int, default=100, help="runs for the memory figure (100)")
    parser.add_argument("--tasks", type=int, default=64, help="tasks at once (64)")
    parser.add_argument("--busy", type=int, default=0, help="busy loops beside them (0)")
    parser.add_argument("--records", type=int, default=1000, help="records of each task (1000)")
    parser.add_argument("--messages", type=int, default=20_000, help="messages per QoS (20000)")
    options = parser.parse_args()
    show("command to ready agent", f"{command_to_ready():.2f} s")
    show(f"PID lookup, {options.processes} processes", f"{lookup_us(options.processes):.0f} us")
    with Agent() as agent:
        started = time.perf_counter()
        agent.run(PROGRAMS / "ours.py", env={"BENCHMARK_RECORDS": "1"})
        show("one whole run under a running agent", f"{time.perf_counter() - started:.2f} s")
        show("idle CPU of the agent over 3 s", f"{idle_cpu_seconds():.3f} s")
        with busy_loops(options.busy):
            show(f"{options.tasks} tasks at once", at_once(agent, options.tasks, options.records))
        show(f"memory over {options.runs} runs", memory(agent, options.runs))
    messages(options.messages)


def show(name: str, value: str) -> None:
    """Print one figure as soon as it is known."""
    print(f"{name:<40} {value}", flush=True)


def command_to_ready() -> float:
    """Return the seconds from `epm-task agent` to the line that says where everything is."""
    with tempfile.TemporaryDirectory() as root:
        command = [sys.executable, "-m", "epm_task.cli", "agent", "--root", root, "--json"]
        started = time.perf_counter()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            json.loads(process.stdout.readline() if process.stdout else b"")
            seconds = time.perf_counter() - started
            process.terminate()
    return seconds


def lookup_us(processes: int) -> float:
    """Return the median microseconds to find our own PID behind a connection."""
    with ExitStack() as stack:
        sleepers = [subprocess.Popen(["sleep", "60"]) for _ in range(processes)]
        stack.callback(lambda: [one.wait() for one in sleepers])
        stack.callback(lambda: [one.kill() for one in sleepers])
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = stack.enter_context(socket.create_connection(server.getsockname()))
        accepted = stack.enter_context(server.accept()[0])
        times = []
        for _ in range(200):
            started = time.perf_counter()
            found = peer_pid(accepted.getsockname(), client.getsockname(), [os.getpid()])
            times.append(time.perf_counter() - started)
            assert found == os.getpid()
    return statistics.median(times) * 1e6


def idle_cpu_seconds() -> float:
    """Return what this process, which the agent is a thread of, uses in three seconds."""
    before = time.process_time()
    time.sleep(3)
    return time.process_time() - before


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Keep processors busy."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def at_once(agent: Agent, tasks: int, records: int) -> str:
    """Run many tasks at once, with their default time-outs, and count what arrived, and where."""
    started = time.perf_counter()
    env = {"BENCHMARK_RECORDS": str(records)}
    begun = [agent.start(PROGRAMS / "ours.py", env=env, timeout=300) for _ in range(tasks)]
    finished = [one.wait() for one in begun]
    seconds = time.perf_counter() - started
    found = [record for run in finished for record in run.records if record.message == "record"]
    on_stderr = sum(record.source_channel == "stderr" for record in found)
    failed = sum(run.exit_code != 0 for run in finished)
    slowest = max(run.registration.seconds or 0.0 for run in finished)
    return (
        f"{tasks * records - len(found)} of {tasks * records} records lost, {on_stderr} on stderr, "
        f"{failed} runs failed, {slowest:.1f} s to the last registration, {seconds:.1f} s"
    )


def memory(agent: Agent, runs: int) -> str:
    """Run a tiny task again and again and see how this process grows."""
    process = psutil.Process()
    sizes = []
    for number in range(runs):
        agent.run("/bin/true" if os.name == "posix" else sys.executable)
        if number >= runs // 2:  # the first half fills what is kept on purpose
            sizes.append(process.memory_info().rss)
    grown = (sizes[-1] - sizes[0]) / 1024 / 1024
    return f"{sizes[-1] / 1024 / 1024:.0f} MB, {grown:+.1f} MB in the second half"


class Everybody(Access):
    """Admits every client to every topic."""

    def __init__(self) -> None:
        """Know no process."""
        super().__init__(ProcessRegistry())

    def admit(self, client_id: str, *_more: object) -> MqttAdmission:
        """Admit."""
        return MqttAdmission(allowed=True, reason="", job_id=client_id)


def messages(count: int) -> None:
    """Print messages per second of our broker, beside mosquitto, without TLS on both sides."""
    with our_broker() as ours, mosquitto() as theirs:
        for qos in (0, 1, 2):
            rate = median_rate(ours, qos, count)
            beside = ""
            if theirs:
                other = median_rate(theirs, qos, count)
                beside = f", mosquitto {other:.0f}/s, ratio {rate / other:.2f}"
            show(f"messages at QoS {qos}, one subscriber", f"{rate:.0f}/s{beside}")


def median_rate(port: int, qos: int, count: int) -> float:
    """Return the median of three measurements, in messages per second."""
    command = [sys.executable, str(PROGRAMS / "publisher.py"), str(port), str(qos), str(count)]
    return statistics.median(float(subprocess.check_output(command)) for _ in range(3))


@contextmanager
def our_broker() -> Iterator[int]:
    """Run our broker in a thread and yield its port."""
    loop = LoopThread("benchmark-broker")
    broker = Broker(Everybody(), Trace(), ssl_context=None)
    loop.call(broker.start())
    try:
        yield broker.port
    finally:
        loop.call(broker.stop())
        loop.stop()


@contextmanager
def mosquitto() -> Iterator[int | None]:
    """Run mosquitto and yield its port; None when it is not installed."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "mosquitto.conf"
        config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
            "max_inflight_messages 0\npersistence false\n"
        )
        with subprocess.Popen(
            [program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            wait_for(port)
            yield port
            process.terminate()


def wait_for(port: int) -> None:
    """Return when something listens on the port."""
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    sys.exit("mosquitto did not start")


if __name__ == "__main__":
    main()
