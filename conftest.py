"""How hard Hypothesis tries, and whether a test may be left out.

A machine without a browser, curl or syslog-ng leaves out the tests that need them, and says so.
With NATSTREAM_SKIP_NOTHING=1, as in CI, a test that is left out has failed.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# The machine may be busy: how long one example takes says nothing about what is right.
settings.register_profile("test", deadline=None)
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=20_000,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))

SKIP_NOTHING = os.environ.get("NATSTREAM_SKIP_NOTHING", "0") not in ("", "0")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make a failure of a test that is left out, where none may be."""
    report = yield
    if SKIP_NOTHING and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"left out, where NATSTREAM_SKIP_NOTHING is set: {report.longrepr}"
    return report
