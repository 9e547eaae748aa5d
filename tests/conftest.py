"""Says which fastlm is under test: the one compiled in this checkout, or the installed one."""

import fastlm


def pytest_report_header() -> str:
    return f"fastlm: {fastlm.__path__[0]}"
