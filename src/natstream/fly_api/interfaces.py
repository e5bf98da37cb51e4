"""The task that asks Fly's interfaces: one client and one pace for history and machines."""

from __future__ import annotations

import attrs
import trio

from natstream.errors import SourceDenied
from natstream.fly_api.client import FlyApiError, open_fly_client
from natstream.fly_api.earlier import Earlier
from natstream.fly_api.history import FlyHistory
from natstream.fly_api.machines import Machines

__all__ = ["FlyInterfaces"]


@attrs.define(eq=False)
class FlyInterfaces:
    """Fly's logs interface and its Machines interface."""

    token: str = attrs.field(repr=False)
    history: FlyHistory
    machines: Machines
    earlier: Earlier

    async def run(self) -> None:
        """Ask what the history and the machines want to know, until it is cancelled.

        Raises:
            SourceDenied: the token cannot be sent at all.
        """
        try:
            async with open_fly_client(self.token) as client, trio.open_nursery() as nursery:
                self.earlier.client = client
                nursery.start_soon(self.machines.run, client)
                await self.history.run(client)
        except FlyApiError as error:
            raise SourceDenied(str(error)) from error
        finally:
            self.earlier.client = None
            self.history.give_up_start()
