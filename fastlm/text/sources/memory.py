"""How much memory one text may take: a compressed file of a few kilobytes may hold more than a machine can."""

import os
from contextlib import suppress
from functools import cache

JSON_GROWS = 16   # times its bytes that what JSON holds may take: an empty object in a list takes 24 times its three
_OF_CONTAINERS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@cache
def half_of_memory() -> int:
    """Return half of the bytes of memory that this process may use: those of the machine or, where they are fewer, of
    the container that it runs in, or of its limits (`ulimit -v`, `ulimit -d`)."""
    import resource  # here, since it is asked for once

    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in _OF_CONTAINERS:
        with suppress(OSError, ValueError), open(name) as file:   # "max" stands for no limit
            size = min(size, int(file.read()))
    for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        allowed = resource.getrlimit(limit)[0]
        if allowed != resource.RLIM_INFINITY:
            size = min(size, allowed)
    return size // 2


def check_memory(size: int, limit: int, name: str, what: str, expected: str) -> None:
    """Raise ValueError, which names a text, where what is held of it takes more bytes than the limit.

    >>> check_memory(9, 8, "a.gz", "text", "less")
    Traceback (most recent call last):
    ValueError: a.gz holds more than 8 bytes of text, the most that memory= allows; less was expected
    """
    if size > limit:
        shares = {half_of_memory(): "half", half_of_memory() // JSON_GROWS: "a thirty-second"}
        reason = f"{shares[limit]} of this machine's memory" if limit in shares else "the most that memory= allows"
        raise ValueError(f"{name} holds more than {limit:,} bytes of {what}, {reason}; {expected} was expected")
