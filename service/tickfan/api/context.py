"""What the endpoints are given.

Must not know who made it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from tickfan.wire import events

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tickfan.access.gate import Gate
    from tickfan.access.revocationlist import RevocationList
    from tickfan.broker.base import Broker
    from tickfan.core.feeds import Feeds
    from tickfan.core.tally import Tally
    from tickfan.fanout.background import Background
    from tickfan.fanout.directory import Directory
    from tickfan.fanout.pump import Pump
    from tickfan.fanout.slices import Slices
    from tickfan.session.audit import Audit
    from tickfan.session.connections import Connections
    from tickfan.transports.answers import Answers
    from tickfan.transports.certificate import Certificate
    from tickfan.wire.base import Encodings


@dataclass(slots=True)
class Context:
    """The parts of the service that the endpoints show or use.

    ``epoch`` names this run of the process. ``is_simulated``: its prices are invented.
    ``gate`` knows who may come in. ``revocations`` None: without keys there is no token to be
    revoked. ``is_draining`` is asked, because it changes; so are ``sockets``, the open ones of
    the public listener. ``background`` makes answers. ``answers`` are those of each listener.
    ``certificate`` is that of the public listener, if it has TLS.
    ``remote_of`` says from what address a client comes.
    """

    feeds: Feeds
    connections: Connections
    directory: Directory
    pump: Pump
    slices: Slices
    background: Background
    answers: Mapping[str, Answers]
    tally: Tally
    broker: Broker
    encodings: Encodings
    epoch: str
    is_simulated: bool
    gate: Gate
    revocations: RevocationList | None
    is_draining: Callable[[], bool]
    sockets: Callable[[], int]
    audit: Audit
    remote_of: Callable[[web.Request], str]
    certificate: Certificate | None = None

    def marked(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields of an answer, and ``simulated: true`` where that is so."""
        return events.marked(fields, is_simulated=self.is_simulated)


CONTEXT = web.AppKey("context", Context)


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A JSON answer with a line end, for terminals. Never to be kept by a cache."""
    return web.Response(
        body=orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
