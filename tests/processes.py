"""Processes that a test starts and that end with it, whatever happens."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _default_signals() -> None:
    """In the child: signals mean what they do in a terminal, even where the tests run under nohup or in a job."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen]:
    """Start a process in a group of its own, with default signals; the whole group is killed in the end.

    Its output is text, buffered as it is by default; standard error is a pipe unless the options say something else.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    options = {"stderr": subprocess.PIPE, "text": True, "env": environment} | options
    process = subprocess.Popen(command, start_new_session=True, preexec_fn=_default_signals, **options)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def finished(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess:
    """Run a process to its end, of which it has five minutes."""
    with running(command, **{"stdout": subprocess.PIPE} | options) as process:
        out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(command, process.returncode, out, err)
