"""Threads take turns: one at a time uses a model, or what all threads of a process share."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator

PROCESS = object()
"""What all threads share: the global random states, and the switches of a GPU."""


class Turns:
    """Holds things, told apart by identity, for one thread at a time; that thread may take them again.

    All things asked for at once are taken at once, so that two threads that ask for several do not wait for each other.
    Within, ask for parts of what is held already, for what is new, or for :data:`PROCESS`.

    >>> turns, model = Turns(), object()
    >>> with turns.at([model]), turns.at([model, PROCESS]):
    ...     pass
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: dict[int, list[int]] = {}
        """By thing: the thread, once for each time it has taken it."""

    @contextlib.contextmanager
    def at(self, things: Iterable[object]) -> Iterator[None]:
        """Hold these things inside; wait until no other thread holds one of them."""
        kept = list(things)  # alive, so that no other thing gets the identity of one
        names, thread = {id(thing) for thing in kept}, threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: all(thread in self._held.get(name, (thread,)) for name in names))
            for name in names:
                self._held.setdefault(name, []).append(thread)
        try:
            yield
        finally:
            with self._changed:
                for name in names:
                    self._held[name].pop()
                    if not self._held[name]:
                        del self._held[name]
                self._changed.notify_all()


turns = Turns()
"""Those of this process."""
