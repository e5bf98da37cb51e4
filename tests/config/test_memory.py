"""The memory that this process may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from natstream.config.memory import memory_bytes

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("files", "size"),
    [
        ({}, MACHINE),
        ({"sys/fs/cgroup/memory.max": "max\n"}, MACHINE),
        ({"sys/fs/cgroup/memory.max": "67108864\n"}, 64 << 20),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": "67108864\n"}, 64 << 20),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, MACHINE),
        (
            {
                "proc/self/cgroup": "0::/system.slice/natstream.service\n",
                "sys/fs/cgroup/system.slice/natstream.service/memory.max": "67108864\n",
            },
            64 << 20,
        ),
        (
            {
                "proc/self/cgroup": "0::/logs.slice/natstream.service\n",
                "sys/fs/cgroup/logs.slice/natstream.service/memory.max": "max\n",
                "sys/fs/cgroup/logs.slice/memory.max": "67108864\n",
            },
            64 << 20,
        ),
    ],
)
def test_the_control_group_limits_the_memory(
    tmp_path: Path, files: dict[str, str], size: int
) -> None:
    """The least limit of the control groups counts, in either version.

    Without any, it is the whole machine.
    """
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory_bytes(tmp_path) == size
