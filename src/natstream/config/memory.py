"""The memory of this machine, as far as this process may use it.

In: the files of the kernel. Out: bytes. A container has less memory than its machine, and its
control group says how much.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePath

__all__ = ["memory_bytes"]

# The limits of version 2 and version 1 of control groups, as a container sees its own.
_LIMITS = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_bytes(root: Path = Path("/")) -> int:
    """Return the bytes of memory that this process may use: its control group's, or all.

    Args:
        root: where the kernel's files are found.
    """
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in (*_LIMITS, *_own_limits(root)):
        # `max` is no number, and version 1 writes a huge one for no limit.
        with suppress(OSError, ValueError):
            found.append(int((root / name).read_text()))
    return min(size for size in found if size > 0)


def _own_limits(root: Path) -> Sequence[str]:
    """Return the files with the limits of this process's group and of the groups around it.

    For example, systemd may give a limit to a service, or to a slice with several services.
    """
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::/"):
                group = PurePath("sys/fs/cgroup", line.removeprefix("0::/"))
                return [str(each / "memory.max") for each in (group, *group.parents[:-3])]
    return ()
