"""Files that are replaced whole or not at all: temporary file, flush, fsync, rename, fsync of the folder."""

import contextlib
import errno
import os
import re
import stat
import time
import zlib
from collections.abc import Callable
from typing import BinaryIO

_DEAD_AFTER = 60.0   # seconds since a temporary file was last written, before it is removed
_TEMPORARY = re.compile(r"\.fastlm-([0-9a-f]{8})-([0-9]{1,10})-[0-9a-f]{16}\.tmp")


def replace(path: str | os.PathLike[str], write: Callable[[BinaryIO], None]) -> None:
    """Call `write(file)` with a temporary file in the folder of `path`, then rename that file to `path`.

    path: a file, new or existing; a link stays a link and its target is replaced; permissions are kept.
    write: is called with a binary file that is open for reading and writing, at position 0.

    After a power cut `path` is the old file or the new one, never a mixture. Raises OSError in one sentence. After any
    error, one that `write` raises too, no temporary file is left and the old file is as it was; only where the last
    step fails, the fsync of the folder, is the new file there. Temporary files of processes that were killed while they
    wrote are removed first, see `sweep`.

    Example: replace("notes.txt", lambda file: file.write(b"all of it"))
    """
    check_writable(path)
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    sweep(folder)
    try:
        temporary, descriptor = _create(folder)
        try:
            with open(descriptor, "w+b") as file:
                write(file)
                file.flush()
                if os.path.exists(target):
                    os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _sync_folder(folder)
    except OSError as error:
        raise _sentence(error, f"{os.fspath(path)} cannot be written: {error.strerror or error}") from error


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OSError, in one sentence, unless `replace(path, ...)` can create its file.

    Call this before long work. A file is created in the folder and removed again, because permission bits do not show
    that a disk is read-only.

    Example: check_writable("my.fastlm")
    """
    name = os.fspath(path)
    target = os.path.realpath(name)
    folder = os.path.dirname(target)
    if os.path.isdir(target) or not os.path.basename(name):
        raise IsADirectoryError(f"{name or 'the empty path'} is a folder, expected the name of a file")
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{name} cannot be written: {folder} is not a folder")
    if os.path.exists(target) and not os.path.isfile(target):
        raise OSError(f"{name} is a device or a pipe, expected a regular file or a new name")
    if os.path.exists(target) and not os.access(target, os.W_OK):
        raise PermissionError(f"{name} cannot be written: it is read-only")
    try:
        temporary, descriptor = _create(folder)
        try:
            os.unlink(temporary)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _sentence(error, f"{name} cannot be written: no file can be created in {folder} "
                        f"({error.strerror})") from error


def sweep(folder: str) -> None:
    """Remove temporary files in a folder that killed processes have left there.

    A file is removed where its name says that it was made on this machine, by a process that has ended, and nothing was
    written to it for a minute. Files of other machines and containers, whose processes cannot be seen from here, stay.
    A file that cannot be removed stays as well.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            name = _TEMPORARY.fullmatch(entry.name)
            if name is None or name[1] != _machine() or _is_alive(int(name[2])):
                continue
            with contextlib.suppress(OSError):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > _DEAD_AFTER:
                    os.unlink(entry.path)


def _is_alive(process: int) -> bool:
    """Return whether a process of this number may be running here."""
    try:
        os.kill(process, 0)   # sends nothing
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _machine() -> str:
    """Return eight digits that name the space of process numbers: they differ between machines and containers."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return f"{zlib.crc32(f'{os.uname().nodename} {space}'.encode()):08x}"


def _create(folder: str) -> tuple[str, int]:
    """Create a file with the usual permissions, which `tempfile` does not give; return its name and descriptor."""
    temporary = os.path.join(folder, f".fastlm-{_machine()}-{os.getpid()}-{os.urandom(8).hex()}.tmp")
    return temporary, os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:                 # some network file systems know no fsync of a folder
            raise
    finally:
        os.close(descriptor)


def _sentence(error: OSError, sentence: str) -> OSError:
    """Return an error of the same class and errno whose text is the sentence."""
    renamed = type(error)(sentence)
    renamed.errno = error.errno
    return renamed
