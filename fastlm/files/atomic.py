"""Files replaced whole or left as they were: temporary file, flush, fsync, rename, fsync of the folder."""

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
    """Calls `write(file)` on a temporary file in the folder of `path`, then renames it over `path`.

    path: a file, new or existing; a link stays a link and its target is replaced; permissions are kept.
    write: gets a binary file open for reading and writing, positioned at 0.

    After a power cut `path` is the old file or the new one, never a mixture. Raises OSError in one sentence;
    whatever is raised, by `write` too, no temporary file is left, and the old file is intact unless it is the
    last step that fails, the fsync of the folder: then the new file stands whole. Temporary files of processes
    that were killed in here are removed first, as `sweep` does.

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
    """Raises OSError, in one sentence, unless `replace(path, ...)` can create its file.

    To be called before long work. A file is created in the folder and removed again, because permission bits
    do not tell of a read-only disk.

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
    """Remove temporary files in a folder whose writers are dead: killed, so that they could not do it themselves.

    A file goes where its name says that it was made on this machine, by a process that is no more, and nothing was
    written to it for a minute. Those of other machines and containers, whose processes cannot be seen from here, stay,
    and so does whatever cannot be removed.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            made = _TEMPORARY.fullmatch(entry.name)
            if made is None or made[1] != _machine() or _alive(int(made[2])):
                continue
            with contextlib.suppress(OSError):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > _DEAD_AFTER:
                    os.unlink(entry.path)


def _alive(process: int) -> bool:
    """Whether there may be such a process here."""
    try:
        os.kill(process, 0)   # sends nothing
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _machine() -> str:
    """Eight digits that differ where process numbers mean other processes: on other machines and in containers."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return f"{zlib.crc32(f'{os.uname().nodename} {space}'.encode()):08x}"


def _create(folder: str) -> tuple[str, int]:
    """A new file with the permissions of any other new file, which tempfile's would not have."""
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
    """The same kind of error, errno kept, whose str is the sentence."""
    told = type(error)(sentence)
    told.errno = error.errno
    return told
