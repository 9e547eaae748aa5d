"""Signals that ask a program to stop, answered without losing the model that there is."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from types import FrameType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
# Seconds within which signals are one request: `timeout` and wrappers that forward Ctrl-C send two within a
# millisecond, and nobody presses twice as fast as this.
_ONE_REQUEST = 0.2


class Interrupt:
    """A context manager that answers SIGINT (Ctrl-C), SIGTERM and SIGHUP while the main thread is inside it.

    Before `keep` is called there is no model to lose: Ctrl-C raises KeyboardInterrupt at once, and the other two raise
    SystemExit with the code 128 plus the signal's number. After `keep`, the first signal raises nothing: its number is
    kept in ``number``, ``asked`` becomes true, and the program is expected to end its work soon. A second signal has
    its usual effect, except that a second SIGHUP is ignored, because a closing terminal sends more than one.

    Only signals that have Python's default handler are answered. A signal that a parent process ignores (``nohup``, a
    background job) stays ignored, and a handler that a program has set stays in place.

    >>> with Interrupt() as interrupt:
    ...     interrupt.keep()
    ...     signal.raise_signal(signal.SIGTERM)
    ...     interrupt.asked, interrupt.number == signal.SIGTERM
    (True, True)
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._at = 0.0
        self._kept = self._skippable = False
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return self.number is not None

    @property
    def kept(self) -> bool:
        """Whether `keep` was called."""
        return self._kept

    def keep(self) -> None:
        """Declare that there is a model to keep from here on, so that the first signal raises nothing."""
        self._kept = True

    def attempt(self, stage: Callable[[], T]) -> T | None:
        """Call `stage` and return its result; return None where a signal has come or comes while it runs.

        A signal ends the stage at once, at any of its lines. A stage must therefore change nothing but its result.
        """
        if self.asked:
            return None
        try:
            try:
                self._skippable = self._kept
                return stage()
            finally:
                self._skippable = False
        except _Skipped:   # caught out here, since a signal may come in the line above
            return None

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in _STOPPING:
                before = signal.getsignal(number)
                if before in (signal.SIG_DFL, signal.default_int_handler):
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, before in self._before.items():
            if signal.getsignal(number) == self._handle:   # otherwise the program has set another handler meanwhile
                signal.signal(number, before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            if number == getattr(signal, "SIGHUP", None) or time.monotonic() - self._at < _ONE_REQUEST:
                return
            signal.signal(number, self._before[number])
            signal.raise_signal(number)
            return
        self._at, self.number = time.monotonic(), number
        if self._skippable:
            raise _Skipped
        if not self._kept:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


class _Skipped(BaseException):
    """Ends a stage of `Interrupt.attempt` when a signal comes."""


def interruptible(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that has an argument `interrupt`: where the caller gives none, an `Interrupt` is entered for
    the time of the call and passed to the function."""
    @wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> T:
        given = options.get("interrupt")
        with nullcontext(given) if isinstance(given, Interrupt) else Interrupt() as interrupt:
            options["interrupt"] = interrupt
            return function(*arguments, **options)
    return call
