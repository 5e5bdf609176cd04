"""A model of the outbox shows that no message is ever lost, doubled, or out of order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from epm_task.runtime.log.outbox import Message, Outbox


def message(number: int, size: int) -> Message:
    """Return a message of this payload size."""
    return Message("KeeperLogger", b"%d".ljust(size) % number)


class OutboxModel(RuleBasedStateMachine):
    """Compares an outbox with two plain lists, whatever happens in which order."""

    LIMIT = 2000

    def __init__(self) -> None:
        """Start with an empty outbox and empty lists."""
        super().__init__()
        self.outbox = Outbox(self.LIMIT)
        self.waiting: list[Message] = []
        self.flying: dict[int, Message] = {}
        self.settled = self.offered = 0
        self.closed = False

    @rule(size=st.integers(2, 900))
    def offer(self, size: int) -> None:
        """A message is accepted exactly when it fits and the outbox is open."""
        self.offered += 1
        offered = message(self.offered, size)
        held = sum(m.size for m in [*self.waiting, *self.flying.values()])
        fits = held + offered.size <= self.LIMIT and not self.closed
        assert self.outbox.offer(offered, 0) is fits
        self.waiting += [offered] if fits else []

    @rule(window=st.integers(0, 4))
    def take(self, window: int) -> None:
        """Messages fly in the order of their acceptance, under ids of their own."""
        taken = self.outbox.take(window)
        count = max(0, min(window - len(self.flying), len(self.waiting)))
        assert [m for _, m in taken] == self.waiting[:count]
        assert not self.flying.keys() & dict(taken).keys()
        del self.waiting[:count]
        self.flying |= dict(taken)

    @rule(data=st.data())
    @precondition(lambda self: self.flying)
    def settle(self, data: st.DataObject) -> None:
        """Acknowledgements may come in any order, and for unknown ids."""
        ids = data.draw(st.lists(st.sampled_from([*self.flying, 70_000]), unique=True))
        known = [packet_id for packet_id in ids if self.flying.pop(packet_id, None)]
        assert self.outbox.settle(ids) == len(known)
        self.settled += len(known)

    @rule(data=st.data())
    @precondition(lambda self: self.flying)
    def withdraw(self, data: st.DataObject) -> None:
        """A refused message is handed back."""
        packet_id = data.draw(st.sampled_from([*self.flying]))
        assert self.outbox.withdraw(packet_id) == self.flying.pop(packet_id)

    @rule()
    def find_oldest(self) -> None:
        """The oldest message is found, if one flies, and goes on flying."""
        oldest = next(iter(self.flying), None)
        assert self.outbox.oldest() == oldest
        assert self.outbox.find(oldest or 0) == self.flying.get(oldest or 0)

    @rule()
    def put_back(self) -> None:
        """A lost connection turns what flies into the first that wait."""
        assert self.outbox.put_back() == len(self.flying)
        self.waiting = [*self.flying.values(), *self.waiting]
        self.flying = {}

    @rule()
    @precondition(lambda self: self.offered > 8)
    def take_all(self) -> None:
        """The end hands everything back, in order."""
        assert self.outbox.take_all() == [*self.flying.values(), *self.waiting]
        self.waiting, self.flying, self.closed = [], {}, True

    @invariant()
    def counts_agree(self) -> None:
        """The outbox says of itself what the lists say."""
        outbox = self.outbox
        assert (outbox.waiting, outbox.in_flight) == (len(self.waiting), len(self.flying))
        assert outbox.acknowledged == self.settled
        assert outbox.empty is (not self.waiting and not self.flying)
        assert all(1 <= packet_id <= 65_000 for packet_id in self.flying)


TestOutboxModel = OutboxModel.TestCase
TestOutboxModel.settings = settings(max_examples=100, stateful_step_count=40)
