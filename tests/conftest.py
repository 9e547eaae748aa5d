"""Says which fastlm is under test, that of this checkout or the installed one, and holds what several files need."""

import signal
from collections.abc import Iterator

import pytest

import fastlm
from fastlm import _core


def pytest_report_header() -> str:
    return f"fastlm: {fastlm.__path__[0]}"


@pytest.fixture(scope="session", autouse=True)
def _cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the records of verified files (`fastlm.files.trust`) out of the cache folder of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(params=_core.available_isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test on every instruction set there is here: pytestmark = pytest.mark.usefixtures("isa")."""
    before = _core.isa()
    _core.use_isa(request.param)
    assert _core.isa() == request.param
    yield request.param
    _core.use_isa(before)


@pytest.fixture
def default_signals() -> Iterator[None]:
    """Gives SIGINT, SIGTERM and SIGHUP their default handlers, which they lack under nohup and in background jobs."""
    defaults = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL,
                signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in defaults.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
