"""Replacing files: all or nothing whichever system call fails, and one sentence that says why."""

import errno
import os
import re
import signal
import stat
import sys
import time

import pytest

from fastlm.files import atomic
from tests.processes import finished

OLD, NEW = b"the old file", b"the new one, longer than the old"


def write_new(file):
    file.write(NEW)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "folder" / "notes.txt"
    path.parent.mkdir()
    path.write_bytes(OLD)
    return path


def only_file(path):
    """The bytes of `path`, which has to be the only file in its folder."""
    assert [child.name for child in path.parent.iterdir()] == [path.name]
    return path.read_bytes()


def test_replaces_an_old_file_and_creates_a_new_one(path):
    atomic.replace(path, write_new)
    assert only_file(path) == NEW
    path.unlink()
    atomic.replace(str(path), write_new)
    assert only_file(path) == NEW


def test_a_relative_name_is_meant_for_the_current_folder(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    atomic.replace("notes.txt", write_new)
    assert only_file(path) == NEW


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_an_old_file_keeps_its_permissions(path, mode):
    path.chmod(mode)
    atomic.replace(path, write_new)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_file_gets_the_permissions_of_any_new_file(path):
    sibling = path.with_name("sibling")
    sibling.write_bytes(b"")
    path.unlink()
    atomic.replace(path, write_new)
    assert path.stat().st_mode == sibling.stat().st_mode


def test_a_link_stays_a_link_and_its_target_is_replaced(path, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(path)
    atomic.replace(link, write_new)
    assert link.is_symlink()
    assert only_file(path) == NEW


def test_bytes_and_folder_reach_the_disk_before_the_call_returns(path, monkeypatch):
    steps = []
    fsync, rename = os.fsync, os.replace

    def recorded_fsync(descriptor):
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else os.fstat(descriptor).st_size
        steps.append(("fsync", kind))
        fsync(descriptor)

    def recorded_rename(source, target):
        steps.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_rename)
    atomic.replace(path, write_new)
    assert steps == [("fsync", len(NEW)), "rename", ("fsync", "folder")]


@pytest.mark.parametrize("call", ["open", "fsync", "replace", "chmod", "close"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_every_nth_failing_system_call_leaves_the_old_file_and_no_litter(path, monkeypatch, call, number):
    real = getattr(os, call)
    calls, fail_at, folder_fails = 0, 0, False

    def failing(*arguments, **options):
        nonlocal calls, folder_fails
        calls += 1
        if calls == fail_at:
            folder_fails = call in ("fsync", "open", "close") and path.read_bytes() == NEW
            if call == "close":
                real(*arguments)
            raise OSError(number, os.strerror(number))
        return real(*arguments, **options)

    monkeypatch.setattr(os, call, failing)
    atomic.replace(path, write_new)
    total, failures = calls, 0
    assert total >= 1
    for nth in range(1, total + 1):
        path.write_bytes(OLD)
        calls, fail_at = 0, nth
        with pytest.raises(OSError, match=f"^{path} cannot be written: ") as raised:
            atomic.replace(path, write_new)
        assert raised.value.errno == number
        assert os.strerror(number) in str(raised.value)
        monkeypatch.setattr(os, call, real)
        assert only_file(path) == (NEW if folder_fails else OLD)
        monkeypatch.setattr(os, call, failing)
        failures += 1
    assert failures == total


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ZeroDivisionError])
def test_whatever_the_writer_raises_passes_and_the_old_file_stands(path, error):
    def write(file):
        file.write(NEW)
        raise error

    with pytest.raises(error):
        atomic.replace(path, write)
    assert only_file(path) == OLD


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_disk_found_by_the_flush_leaves_the_old_file(path, monkeypatch):
    real = os.open

    def full(name, flags, *rest):
        descriptor = real(name, flags, *rest)
        if flags & os.O_CREAT:
            os.close(descriptor)
            descriptor = real("/dev/full", os.O_RDWR)
        return descriptor

    monkeypatch.setattr(os, "open", full)
    monkeypatch.setattr(atomic, "check_writable", lambda path: None)
    with pytest.raises(OSError, match="cannot be written: No space left on device$") as raised:
        atomic.replace(path, write_new)
    assert raised.value.errno == errno.ENOSPC
    assert only_file(path) == OLD


def test_check_writable_accepts_a_new_and_an_old_file_and_leaves_them_alone(path):
    atomic.check_writable(path)
    assert only_file(path) == OLD
    path.unlink()
    atomic.check_writable(path)
    assert list(path.parent.iterdir()) == []


def refused(path, kind, sentence):
    for attempt in (atomic.check_writable, lambda path: atomic.replace(path, write_new)):
        with pytest.raises(kind) as raised:
            attempt(path)
        assert str(raised.value) == sentence


def test_a_folder_that_does_not_exist(tmp_path):
    path = tmp_path / "absent" / "notes.txt"
    refused(path, FileNotFoundError, f"{path} cannot be written: {path.parent} is not a folder")


def test_a_file_in_place_of_the_folder(path):
    inside = path / "notes.txt"
    refused(inside, FileNotFoundError, f"{inside} cannot be written: {path} is not a folder")


def test_a_folder_in_place_of_the_file(path):
    refused(path.parent, IsADirectoryError, f"{path.parent} is a folder, expected the name of a file")
    refused(f"{path.parent}/", IsADirectoryError, f"{path.parent}/ is a folder, expected the name of a file")
    refused("", IsADirectoryError, "the empty path is a folder, expected the name of a file")


def test_a_device(path):
    refused("/dev/null", OSError, "/dev/null is a device or a pipe, expected a regular file or a new name")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_and_a_read_only_file(path):
    path.chmod(0o444)
    refused(path, PermissionError, f"{path} cannot be written: it is read-only")
    path.chmod(0o644)
    path.parent.chmod(0o555)
    try:
        refused(path, PermissionError, f"{path} cannot be written: no file can be created in {path.parent} "
                                       "(Permission denied)")
    finally:
        path.parent.chmod(0o755)


def test_a_read_only_file_is_refused_in_a_folder_that_would_let_it_be_replaced(path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda name, mode: (str(name), mode) != (str(path), os.W_OK))
    refused(path, PermissionError, f"{path} cannot be written: it is read-only")
    assert only_file(path) == OLD


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="only Linux has /proc/self/fd")
def test_no_file_stays_open(path):
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        atomic.replace(path, write_new)
        with pytest.raises(ZeroDivisionError):
            atomic.replace(path, lambda file: 1 / 0)
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_a_folder_that_takes_no_files_even_from_root():
    with pytest.raises(OSError, match="^/proc/notes.txt cannot be written: no file can be created in /proc "):
        atomic.check_writable("/proc/notes.txt")


DEAD = """
import os, signal, sys
from fastlm.files import atomic
atomic.replace(sys.argv[1], lambda file: (file.write(b"half"), file.flush(), os.kill(os.getpid(), signal.SIGKILL)))
"""


@pytest.fixture
def litter(path):
    """What a process that was killed in `replace` has left, two minutes old."""
    assert finished([sys.executable, "-c", DEAD, str(path)]).returncode == -signal.SIGKILL
    [left] = [child for child in path.parent.iterdir() if child != path]
    assert left.read_bytes() == b"half"
    age(left, 120)
    return left


def age(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)


def test_the_litter_of_dead_writers_is_swept_by_the_next_one(path, litter):
    atomic.replace(path, write_new)
    assert only_file(path) == NEW


@pytest.mark.skipif(not os.path.exists("/proc/self/ns/pid"), reason="only Linux has /proc")
def test_litter_stays_where_its_writer_may_live(path, litter):
    machine, process, rest = re.fullmatch(r"\.fastlm-(.{8})-(\d+)-(.{16}\.tmp)", litter.name).groups()
    kept = {f".fastlm-{machine}-{os.getpid()}-{rest}", f".fastlm-{machine}-1-{rest}",    # alive
            f".fastlm-{'0' * 8 if machine != '0' * 8 else '1' * 8}-{process}-{rest}",    # on another machine
            f".fastlm-{rest}", f"fastlm-{machine}-{process}-{rest}",                     # named by something else
            f".fastlm-{machine}-{process}-{rest}.part", f".fastlm-{machine}-{process}-{'f' * 16}.tmp"}
    for name in kept:
        (path.parent / name).write_bytes(b"x")
        age(path.parent / name, 10 if "f" * 16 in name else 120)                         # written just now
    atomic.sweep(str(path.parent))
    assert {child.name for child in path.parent.iterdir()} == kept | {path.name}


def test_a_folder_that_cannot_be_swept_is_left(tmp_path):
    atomic.sweep(str(tmp_path / "absent"))
    assert not (tmp_path / "absent").exists()


def test_litter_that_cannot_be_removed_does_not_stop_a_writer(path, litter, monkeypatch):
    def refuse(name, *arguments, **options):
        raise PermissionError(errno.EPERM, "no")
    monkeypatch.setattr(os, "unlink", refuse)
    atomic.sweep(str(path.parent))
    assert litter.exists()
