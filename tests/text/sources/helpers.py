"""What the tests of sources share."""

from typing import Any

import pytest

from fastlm.text.sources.documents import read_documents
from fastlm.text.sources.reading import Reading


def texts(source: Any, **options: Any) -> list[str]:
    """Return the texts of a source."""
    return [text.decode() for _, text in read_documents(source, **options)]


def named(source: Any, **options: Any) -> list[tuple[str, str]]:
    """Return the names and texts of a source."""
    return [(name, text.decode()) for name, text in read_documents(source, **options)]


def notes(source: Any, **options: Any) -> list[str]:
    """Return what is said while a source is read."""
    said: list[str] = []
    list(read_documents(source, reading=Reading(say=said.append, **options)))
    return said


def refused(kind: type[Exception], message: str, source: Any, **options: Any) -> None:
    """Assert that reading a source raises an error with exactly this message."""
    with pytest.raises(kind) as caught:
        texts(source, **options)
    assert type(caught.value) is kind and str(caught.value) == message
