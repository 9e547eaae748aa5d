"""Which model files were verified before: checks that read every byte of a file are made once, not at every load.

A record is made for a file after all of its checks have passed, and says which file it was: device, inode, size, the
times of the last change of its contents and of its inode in nanoseconds, and the digest in its header. Whoever writes
to a file, even in place, changes the time of its inode, which no call can set back; so a file that was changed or
replaced is verified anew. Records lie in the cache folder of the user, `$XDG_CACHE_HOME/fastlm/verified` or
`~/.cache/fastlm/verified`, one small file for each model file. A folder that others may write to holds no records.
"""

import contextlib
import os
import stat

CHECKS = 2                  # which checks a record stands for: one more where loading begins to check something else
MOST_RECORDS = 1000         # the oldest are removed beyond; a record takes a block of the disk, so all of them 4 MB
# Nanoseconds from the last change of a file to its check. The clock of a file system stands still between its ticks,
# of up to 10 ms, and of 2 s on FAT, and a change before the next tick would not be noticed. The shorter time is for
# files that nobody else may change, since nobody deceives himself.
SETTLED, OURS_SETTLED = 2_000_000_000, 20_000_000


def is_known(status: os.stat_result, digest: str) -> bool:
    """Return whether a file was verified and is unchanged.

    status: of the open file, as `os.fstat` gives it; digest: the one in its header.
    """
    try:
        folder = _folder()
        with open(os.path.join(folder, _name(status)), encoding="ascii") as file:
            return file.read(1024) == _record(status, digest) and _is_ours(os.lstat(folder))
    except (OSError, ValueError):
        return False


def remember(before: os.stat_result, after: os.stat_result, begun: int, digest: str) -> None:
    """Record that a file was verified. Where no record can be written, the file is verified again when it is next used.

    before, after: the status of the file before and after it was verified; begun: when that began, as `time.time_ns`
    gives it; digest: the one in its header. Nothing is recorded where the file was changed in between, or so shortly
    before that a change in between might not show.
    """
    settled = begun - before.st_ctime_ns > (OURS_SETTLED if _is_ours(before) else SETTLED)
    if not settled or _record(before, digest) != _record(after, digest):
        return
    with contextlib.suppress(OSError):
        folder = _folder()
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if not _is_ours(os.lstat(folder)):
            return
        temporary = os.path.join(folder, f"{os.getpid()}-{os.urandom(8).hex()}.tmp")
        with open(temporary, "x", encoding="ascii") as file:
            file.write(_record(after, digest))
        os.replace(temporary, os.path.join(folder, _name(after)))
        _prune(folder)


def _folder() -> str:
    """Return the folder of the records; OSError where the user has none."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if not os.path.isabs(cache):
        raise FileNotFoundError("there is no home folder")
    return os.path.join(cache, "fastlm", "verified")


def _name(status: os.stat_result) -> str:
    return f"{status.st_dev:x}-{status.st_ino:x}"


def _record(status: os.stat_result, digest: str) -> str:
    return (f"checks {CHECKS} device {status.st_dev} inode {status.st_ino} bytes {status.st_size} "
            f"changed {status.st_mtime_ns} {status.st_ctime_ns} sha256 {digest}\n")


def _is_ours(status: os.stat_result) -> bool:
    """Return whether a file or folder belongs to this user, and no one else may write to it."""
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _prune(folder: str) -> None:
    """Remove the oldest records where there are too many, and what killed processes have left."""
    with os.scandir(folder) as entries:
        found = sorted((entry.stat(follow_symlinks=False).st_mtime, entry.path) for entry in entries)
    for _, path in found[:max(0, len(found) - MOST_RECORDS)]:
        with contextlib.suppress(OSError):
            os.unlink(path)
