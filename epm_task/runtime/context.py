"""What a handler can do beside its own work: log, publish, ask the agent, stop in time."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from epm_task.contract.topic import Topic
from epm_task.errors import TaskError, TopicNotDeclared
from epm_task.runtime.result import encode_object

if TYPE_CHECKING:
    import threading
    from collections.abc import (
        AsyncGenerator,
        AsyncIterable,
        Generator,
        Iterable,
        Mapping,
        Sequence,
    )
    from os import PathLike
    from typing import Any, TypeVar, overload

    from pydantic import SecretBytes, SecretStr

    from epm_task.runtime.agent.client import AgentClient
    from epm_task.runtime.broker.inbox import Messages
    from epm_task.runtime.child import Child, ChildResult
    from epm_task.runtime.declaration import Declaration
    from epm_task.runtime.invocation import Invocation
    from epm_task.runtime.log.log import Log
    from epm_task.runtime.log.pipe import RunLog
    from epm_task.runtime.progress import ProgressLog
    from epm_task.runtime.state import State
    from epm_task.runtime.stop import Stop

    Item = TypeVar("Item")
    Payload = TypeVar("Payload")


class TaskContext:
    """The surroundings of one run, handed to the handler that asks for them.

    Attributes:
        log: Writes records: `ctx.log.info("scan_finished", found=3)`.
        agent: The agent's Plugin Settings API.
        job_id: Id of the job that started the task; "" without `mqttTopics`.
        job_name: Name of that job.
        run_id: Id of this run, as every record has it.
    """

    _progress: ProgressLog | None = None

    def __init__(  # noqa: PLR0913  # made in two places, by `spine` and for tests
        self,
        declaration: Declaration,
        invocation: Invocation,
        run_log: RunLog,
        agent: AgentClient,
        stop: Stop,
        *,
        task: str = "",
    ) -> None:
        self.log: Log = run_log.log
        self.agent = agent
        self.job_id: str = invocation.job_id or ""
        self.job_name: str = invocation.job_name
        self.run_id: str = invocation.run_id
        self._declaration = declaration
        self._pipe = run_log.pipe
        self._secrets = run_log.secrets
        self._stop = stop
        self._task = task
        self._run_log = run_log
        self._trace = invocation.trace

    @property
    def stopping(self) -> threading.Event:
        """Set when the run shall end; whoever asks for it promises to return within 2 s."""
        return self._stop.stopping

    def remaining(self) -> float:
        """Return the seconds left until the task's own deadline; infinity without one."""
        return self._stop.remaining()

    def mask(self, *secrets: str | bytes | SecretStr | SecretBytes) -> None:
        """Put asterisks for these texts in all that the run writes from now on.

        Records, publications, the result, the last line of stderr, and what `print` writes; not in
        what C code or another program writes. Each line of a text is masked, and each form that
        JSON, `repr`, a URL or base64 gives it. Secret parameters and settings (`SecretStr`) need
        no call. A text of less than six characters is not masked: it would blot out ordinary words.
        """
        self._secrets.add(secrets)

    if TYPE_CHECKING:

        @overload
        def track(
            self, items: Iterable[Item], text: str, total: float | None = None
        ) -> Generator[Item, None, None]: ...
        @overload
        def track(
            self, items: AsyncIterable[Item], text: str, total: float | None = None
        ) -> AsyncGenerator[Item, None]: ...

    def track(
        self, items: Iterable[Item] | AsyncIterable[Item], text: str, total: float | None = None
    ) -> Generator[Item, None, None] | AsyncGenerator[Item, None]:
        """Return *items* one by one, and record how many are done: `ctx.track(files, "scanning")`.

        One record a second at most, and one at the end, of the level Information: *text*, items
        done, *total* (else their `len`, when they have one), items per second, seconds that remain.
        Of loops that end in less than a second ten are recorded in a second. Asynchronous items are
        for `async for`.

        Raises:
            TypeError: They are not iterable.
        """
        return self._progress_log().track(items, text, total)

    def progress(self, done: float, total: float | None, text: str) -> None:
        """Record that *done* of *total* items are done, as `track` does, for loops of other kinds.

        Each *text* is a loop; it ends when *done* reaches *total*, and then begins anew. *total* is
        None when it is not known. It raises nothing, and may be called from any thread.
        """
        (self._progress or self._progress_log()).progress(done, total, text)

    def _progress_log(self) -> ProgressLog:
        if self._progress is None:
            from epm_task.runtime.progress import ProgressLog  # noqa: PLC0415  # few need it

            self._progress = ProgressLog(self.log)
        return self._progress

    @cached_property
    def state(self) -> State:
        """What the task keeps between its runs: `ctx.state["seen"] = […]`, JSON values by name.

        Read when it is first used; saved when the handler returns, or by `ctx.state.save()`.

        Raises:
            TaskError: When it is read: 65 for a file that holds something else, 74 for one that
                cannot be read, 78 when another user can write where it lies.
        """
        from epm_task.runtime.state import State, StateFile, state_folder  # noqa: PLC0415  # few

        folder = state_folder(self.job_id or self._declaration.job_id)
        return State(StateFile(folder, self._task))

    def run(  # noqa: PLR0913  # keywords only, each with a default
        self,
        program: Sequence[str | PathLike[str]],
        *,
        timeout: float | None = None,
        check: bool = True,
        capture: bool = False,
        input: str | bytes | None = None,  # noqa: A002  # as `subprocess.run` has it
        env: Mapping[str, str] | None = None,
    ) -> ChildResult:
        """Run another program without a shell: `ctx.run(["du", "-s", path], timeout=60)`.

        Each line that it writes becomes a record as it comes, of the level Information for stdout
        and Warning for stderr, with the program's name as source. It ends with this run, and all
        that it has started ends with it. For root only the system's folders are searched; its
        environment holds no loader's variables, and nothing of the agent's.

        Args:
            program: The program, by a whole path or a name, and its arguments.
            timeout: Seconds after which it is ended.
            check: Whether an exit code other than 0 raises.
            capture: Return what it writes instead, up to 8 MiB, as `.stdout` and `.stderr`.
            input: What it reads on stdin; without it stdin is empty.
            env: Variables that it gets beside those of the system and of the trace.

        Raises:
            TaskFailed: It cannot be started, failed, or took too long; the last lines are told.
            TypeError: *program* is one text, or is empty.
        """
        child = self._child(program, capture=capture, given=input, env=env)
        return child.finish(timeout, check=check)

    async def run_async(  # noqa: PLR0913  # as above
        self,
        program: Sequence[str | PathLike[str]],
        *,
        timeout: float | None = None,  # noqa: ASYNC109  # as above
        check: bool = True,
        capture: bool = False,
        input: str | bytes | None = None,  # noqa: A002  # as above
        env: Mapping[str, str] | None = None,
    ) -> ChildResult:
        """Run another program while other coroutines go on; takes and raises what `run` does."""
        from epm_task.runtime.child import finish_async  # noqa: PLC0415  # few need it

        child = self._child(program, capture=capture, given=input, env=env)
        return await finish_async(child, timeout, check=check)

    def _child(self, program: Sequence[str | PathLike[str]], **how: Any) -> Child:
        from epm_task.runtime.child import Child, Surroundings  # noqa: PLC0415  # few need it

        around = Surroundings(self.log, self._run_log.sink, self._trace.environment())
        return Child(program, around, **how)

    def publish(self, topic: Topic[Payload], payload: Payload) -> None:
        """Send *payload* as one JSON object on a topic that the task declares, at QoS 1.

        It returns when the message is accepted; the broker's acknowledgement is awaited before the
        process ends, and a message without one is written to stderr.

        Raises:
            TopicNotDeclared: `@task(publishes=[…])` does not hold the topic.
            PayloadNotSerializable: The payload is not an object, or has no JSON form.
        """
        if not isinstance(topic, Topic) or topic.name not in self._declaration.own_publications:
            raise self._undeclared(topic)
        try:
            line = encode_object(payload)
        except ValueError as error:
            raise PayloadNotSerializable(topic.name, str(error)) from None
        self._pipe.publish(topic.name, line)

    def messages(
        self, topic: Topic[Payload], *, timeout_seconds: float | None = None
    ) -> Messages[Payload]:
        """Read a topic that the task declares: `for command in ctx.messages(COMMANDS)`.

        Each message comes as the type of the topic, from this call on, and is acknowledged when the
        next one is asked for or the handler has returned: one that a crash has met is not. The loop
        ends with the run, or when no message has come for *timeout_seconds*. What is not such a
        message is recorded, and passed over. `async for` lets other coroutines go on.

        Raises:
            TopicNotDeclared: `@task(subscribes=[…])` does not hold the topic.
            BrokerError: The run has no broker, or it refuses the subscription.
        """
        declared = [each.name for each in self._declaration.subscribes]
        if not isinstance(topic, Topic) or topic.name not in declared:
            what = f"{topic!r} is not declared by the task {self._declaration.job_id!r}"
            raise TopicNotDeclared(what, f"add it: @task(subscribes=[…, {topic!r}])")
        from epm_task.runtime.broker.inbox import Messages, no_broker  # noqa: PLC0415  # few need it

        if (inbox := self._run_log.inbox) is None:
            raise no_broker()
        return Messages(topic, inbox, timeout_seconds)

    def _undeclared(self, topic: object) -> TopicNotDeclared:
        task = self._declaration.job_id
        if isinstance(topic, Topic):
            what = f"{topic.name!r} is not declared by the task {task!r}"
            return TopicNotDeclared(what, f"add it: @task(publishes=[…, {topic!r}])")
        if not isinstance(topic, str):
            what, name = f"a {type(topic).__name__} is not a Topic", f"Jobs/{task}/results"
        elif topic in self._declaration.own_publications:
            what = f"{topic!r} is the name of a Topic"
            return TopicNotDeclared(what, "publish on the Topic that @task(publishes=[…]) holds")
        else:
            what, name = f"{topic[:80]!r} is a text, not a Topic", topic[:80]
        declared = f"RESULTS = Topic({name!r}), then @task(publishes=[…, RESULTS])"
        return TopicNotDeclared(what, f"declare a Topic: {declared} and ctx.publish(RESULTS, …)")


class PayloadNotSerializable(TaskError, ValueError):
    """What the handler published cannot be sent as one JSON object."""

    def __init__(self, topic: str, why: str) -> None:
        what = f"the payload for {topic!r} was not published"
        super().__init__(what, why, "publish a mapping, a dataclass or a pydantic model")
