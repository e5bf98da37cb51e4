"""A request of the web application, whose parameters are read strictly: see `read_query`."""

from __future__ import annotations

from quart_trio.wrappers import TrioRequest
from werkzeug.datastructures import MultiDict
from werkzeug.utils import cached_property

from natstream.web.query import read_query

__all__ = ["ApiRequest"]


class ApiRequest(TrioRequest):
    """Quart's request, with `args` as all our endpoints read them."""

    @cached_property
    def args(self) -> MultiDict[str, str]:
        """The parameters of the query.

        Raises:
            BadQuery: a parameter is not UTF-8.
        """
        return MultiDict(read_query(self.query_string))
