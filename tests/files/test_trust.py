"""Records of verified files: what is noticed, who may keep them, and that nothing is recorded too early."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from fastlm.files import modelfile, trust

DIGEST = "5" * 64
LONG_AGO = 10_000_000_000


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fastlm" / "verified"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a file"
    path.write_bytes(b"some bytes")
    return path


def later(path):
    """When a check that begins ten seconds after the last change of a file begins."""
    return path.stat().st_ctime_ns + LONG_AGO


def remember(path):
    trust.remember(path.stat(), path.stat(), later(path), DIGEST)


def changed(path):
    """Wait until the clock of the file system has moved on."""
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:
        time.sleep(0.001)
        os.utime(path)


def test_a_file_is_known_once_it_was_remembered(cache, file):
    assert not trust.is_known(file.stat(), DIGEST)
    remember(file)
    assert trust.is_known(file.stat(), DIGEST)
    assert not trust.is_known(file.stat(), "6" * 64)
    status = file.stat()
    [record] = cache.iterdir()
    assert record.name == f"{status.st_dev:x}-{status.st_ino:x}"
    assert record.read_text() == (f"checks {trust.CHECKS} device {status.st_dev} inode {status.st_ino} bytes 10 "
                                  f"changed {status.st_mtime_ns} {status.st_ctime_ns} sha256 {DIGEST}\n")
    assert cache.stat().st_mode & 0o777 == 0o700


def test_a_file_that_was_written_to_in_place_is_not_known_even_if_its_times_are_set_back(cache, file):
    remember(file)
    held = file.stat()
    changed(file)
    with open(file, "r+b") as opened:
        opened.write(b"S")
    os.utime(file, ns=(held.st_atime_ns, held.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (held.st_size, held.st_mtime_ns)
    assert not trust.is_known(file.stat(), DIGEST)


def test_another_file_under_the_same_name_is_not_known(cache, file, tmp_path):
    remember(file)
    other = tmp_path / "other"
    other.write_bytes(b"same bytes")
    os.replace(other, file)
    assert not trust.is_known(file.stat(), DIGEST)


def test_a_record_stands_for_certain_checks(cache, file, monkeypatch):
    remember(file)
    monkeypatch.setattr(trust, "CHECKS", trust.CHECKS + 1)
    assert not trust.is_known(file.stat(), DIGEST)


def test_nothing_is_recorded_of_a_file_that_was_changed_while_it_was_checked(cache, file):
    before = file.stat()
    changed(file)
    trust.remember(before, file.stat(), later(file), DIGEST)
    assert not cache.exists()


@pytest.mark.parametrize(("mode", "wait"), [(0o644, trust.OURS_SETTLED), (0o664, trust.SETTLED),
                                            (0o646, trust.SETTLED)])
def test_nothing_is_recorded_too_soon_after_a_change(cache, file, mode, wait):
    file.chmod(mode)
    status = file.stat()
    trust.remember(status, status, status.st_ctime_ns + wait, DIGEST)
    assert not cache.exists()
    trust.remember(status, status, status.st_ctime_ns + wait + 1, DIGEST)
    assert trust.is_known(status, DIGEST)


def test_records_in_a_folder_that_others_may_write_to_are_worth_nothing(cache, file):
    remember(file)
    cache.chmod(0o777)
    assert not trust.is_known(file.stat(), DIGEST)
    [record] = cache.iterdir()
    record.unlink()
    remember(file)
    assert list(cache.iterdir()) == []


def test_a_damaged_record_is_worth_nothing(cache, file):
    remember(file)
    [record] = cache.iterdir()
    for content in (b"", b"\xff\xff", record.read_bytes()[:-1], record.read_bytes() * 2):
        record.write_bytes(content)
        assert not trust.is_known(file.stat(), DIGEST)


def test_without_a_place_for_records_there_are_none(file, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))        # a file where a folder is expected
    remember(file)
    assert not trust.is_known(file.stat(), DIGEST)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    remember(file)
    assert trust.is_known(file.stat(), DIGEST)
    assert (tmp_path / "home" / ".cache" / "fastlm" / "verified").is_dir()
    monkeypatch.setattr(os.path, "expanduser", lambda name: name)
    monkeypatch.chdir(tmp_path)
    remember(file)
    assert not trust.is_known(file.stat(), DIGEST) and not Path("~").exists()


def test_the_oldest_records_are_removed(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(trust, "MOST_RECORDS", 3)
    files = [tmp_path / str(number) for number in range(5)]
    for number, path in enumerate(files):
        path.write_bytes(b"x")
        remember(path)
        for record in cache.iterdir():
            if record.name == f"{path.stat().st_dev:x}-{path.stat().st_ino:x}":
                os.utime(record, (number, number))
    assert [trust.is_known(path.stat(), DIGEST) for path in files] == [False, False, True, True, True]


def test_a_model_file_is_known_after_it_was_checked_and_remembered(cache, tmp_path):
    path = tmp_path / "my.fastlm"
    modelfile.save(path, {"a": np.ones(3, np.float32)}, {})
    contents = modelfile.read(path)
    while time.time_ns() - path.stat().st_ctime_ns <= trust.OURS_SETTLED:
        time.sleep(0.001)
    contents.check()
    contents.remember()
    assert not modelfile.read(path).is_known()              # it was opened too soon after it was written
    contents = modelfile.read(path)
    contents.check()
    contents.remember()
    assert modelfile.read(path).is_known() and contents.tensors["a"].tolist() == [1, 1, 1]
    given = modelfile.read(path.read_bytes())
    given.check()
    given.remember()
    assert not given.is_known()
