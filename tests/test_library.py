"""What `import natstream` gives, and what it does not cost."""

from __future__ import annotations

import subprocess
import sys

import pytest

import natstream


def test_every_name_is_where_it_is_said_to_be() -> None:
    """Each of the public names can be had, and no other is promised."""
    assert sorted(natstream.__all__) == sorted(natstream._HOMES)
    for name in natstream.__all__:
        assert getattr(natstream, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing_such"):
        natstream.nothing_such  # noqa: B018  # the access is the test


@pytest.mark.parametrize("heavy", ["nats", "hypercorn", "quart", "httpx", "prometheus_client"])
def test_a_program_that_reads_a_drain_loads_no_web_framework(heavy: str) -> None:
    """The library without NATS and without the web application."""
    code = (
        "import sys; from natstream import LogDrainServer, LogCollector, LogStream, open_hub; "
        f"sys.exit({heavy!r} in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
