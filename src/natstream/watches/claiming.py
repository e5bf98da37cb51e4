"""One process's claim to a message, from the first write to the last.

In: the record that the process has read, and its report. Out: records over it, which show that the
process lives. `Taken` is raised once another process has written over them.
"""

from __future__ import annotations

import msgspec

from natstream.errors import SourceError
from natstream.watches.claims import ClaimRecord, Claims, decode_record, encode_record
from natstream.watches.report import Report

__all__ = ["Claim", "Taken"]


class Taken(Exception):
    """Another process has claimed the message."""


class Claim:
    """This process's claim to one message."""

    def __init__(self, claims: Claims, watch: str, key: str, owner: str, report: Report) -> None:
        self._claims, self._watch = claims, watch
        self._record = ClaimRecord(key=key, owner=owner, report=report)
        self._number = 0
        self.report: Report = report

    async def begin(self, over: int) -> bool:
        """Claim the message over the record with this number; return whether that succeeded."""
        self._number = over
        return await self._write(done=False)

    async def keep(self) -> None:
        """Show that this process lives.

        If the journal does not answer, the process goes on, because others may not see it either.

        Raises:
            Taken: another process has claimed the message.
        """
        try:
            is_ours = await self._write(done=False)
        except SourceError:
            return
        if not is_ours:
            raise Taken

    async def finish(self) -> None:
        """Tell the other processes that the message needs no other attempt."""
        await self._write(done=True)

    async def _write(self, *, done: bool) -> bool:
        self._record = msgspec.structs.replace(
            self._record, report=self.report, beat=self._record.beat + 1, done=done
        )
        content = encode_record(self._record, self._claims.max_bytes)
        number = await self._claims.write(self._watch, content, self._number)
        if number is None and await self._is_own():
            number = await self._claims.write(self._watch, content, self._number)
        if number is None:
            return False
        self._number = number
        return True

    async def _is_own(self) -> bool:
        """Return whether the newest record is this claim, because an answer was lost before."""
        slot = await self._claims.read(self._watch)
        record = decode_record(slot.content) if slot.content else None
        if record is None or record.beat >= self._record.beat:
            return False
        self._number = slot.number
        mine = (self._record.owner, self._record.report.kind, self._record.report.at_ms)
        return (record.owner, record.report.kind, record.report.at_ms) == mine
