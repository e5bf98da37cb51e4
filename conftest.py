"""Rules for the whole suite: how hard Hypothesis tries, what may be skipped, what runs together.

`make unit` runs the suite in parallel: each worker of pytest-xdist gets the next test when it has
finished one. Tests that share a fixture of their module stay together on one worker, because every
worker that runs one of them would have to make the fixture for itself, for example an image.

A machine without a browser, curl or syslog-ng skips the tests that need them, and says so. With
NATSTREAM_SKIP_NOTHING=1, as in CI, a test that is skipped has failed.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# The time that one example takes says nothing about what is right, because the machine may be busy.
settings.register_profile("test", deadline=None)
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=20_000,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))

SKIP_NOTHING = os.environ.get("NATSTREAM_SKIP_NOTHING", "0") not in ("", "0")


# Files and folders whose tests wait for servers, for up to half a minute each.
LONG = {"test_soak.py", "test_benchmarks.py", "browsers", "deploy", "journal", "proxies"}


# First, because pytest-xdist reads the groups in the same hook.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start long tests first, and keep a module's tests on one worker if they share a fixture.

    A long test that started last would run alone, while the other workers have nothing to do.
    """
    items.sort(key=lambda item: LONG.isdisjoint(item.path.parts))
    for item in items:
        grouped = item.get_closest_marker("xdist_group") is not None
        if isinstance(item, pytest.Function) and not grouped and _shares_a_fixture(item):
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))


def _shares_a_fixture(item: pytest.Function) -> bool:
    """Whether one of our fixtures that the test uses lives longer than the test."""
    return any(
        definition.scope != "function" and definition.func.__module__.startswith("tests.")
        for definitions in item._fixtureinfo.name2fixturedefs.values()  # pytest 9 has no public way
        for definition in definitions
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one if nothing may be skipped."""
    report = yield
    if SKIP_NOTHING and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, although NATSTREAM_SKIP_NOTHING is set: {report.longrepr}"
    return report
