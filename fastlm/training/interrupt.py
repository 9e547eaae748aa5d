"""Signals that ask a run to stop, answered without losing what there is to keep."""

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
    """Answers SIGINT (Ctrl-C), SIGTERM and SIGHUP while it is entered in the main thread.

    Until `keep` is called there is nothing to lose: Ctrl-C raises KeyboardInterrupt at once, the other two SystemExit
    with 128 and the signal's number. From then on the first signal is noted in ``number``, and ``asked`` is true: the
    run ends after its step, and what is left to do is left out or done quickly. A second signal does what it did
    before, except that SIGHUP, which a closing terminal sends more than once, is ignored after the first request.
    Only signals that have their default handler are taken: what a parent ignores (``nohup``, a background job) stays
    ignored, and a program's own handlers stay in place.

    >>> with Interrupt() as interrupt:
    ...     interrupt.keep()
    ...     signal.raise_signal(signal.SIGTERM)
    ...     interrupt.asked, interrupt.number == signal.SIGTERM
    (True, True)
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._at = 0.0
        self._kept = self._leavable = False
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
        """Says that from here on there is a model to keep, so that a signal is noted and raises nothing."""
        self._kept = True

    def attempt(self, stage: Callable[[], T]) -> T | None:
        """Return the result of a stage that may be left out; None where a signal has come or comes meanwhile.

        The signal ends the stage at once, wherever it is: `stage` may change nothing that matters before its end.
        """
        if self.asked:
            return None
        try:
            try:
                self._leavable = self._kept
                return stage()
            finally:
                self._leavable = False
        except _Left:   # outside, since a signal may come in the line above
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
            if signal.getsignal(number) == self._handle:   # otherwise the caller has set one of its own since
                signal.signal(number, before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            if number == getattr(signal, "SIGHUP", None) or time.monotonic() - self._at < _ONE_REQUEST:
                return
            signal.signal(number, self._before[number])
            signal.raise_signal(number)
            return
        self._at, self.number = time.monotonic(), number
        if self._leavable:
            raise _Left
        if not self._kept:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


class _Left(BaseException):
    """Ends a stage that is left out."""


def interruptible(function: Callable[P, T]) -> Callable[P, T]:
    """Calls a function with an `Interrupt` as its argument `interrupt`, entered meanwhile unless one is given."""
    @wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> T:
        given = options.get("interrupt")
        with nullcontext(given) if isinstance(given, Interrupt) else Interrupt() as interrupt:
            options["interrupt"] = interrupt
            return function(*arguments, **options)
    return call
