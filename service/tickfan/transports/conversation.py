"""What is said on one WebSocket: the client's commands and our answers.

The fan-out's frames go to the transport prebuilt (server frames are unmasked, so
one serves all). Must not know the handshake, nor what a subscription does.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from tickfan.access.tokens import UnknownKey
from tickfan.core import closing
from tickfan.core.errors import Refusal
from tickfan.fanout.finding import LOOKS_AT_ONCE
from tickfan.session.grants import parse_request
from tickfan.session.subscribe import Answer
from tickfan.transports import commands, frames
from tickfan.transports.messages import Messages
from tickfan.transports.requests import check_count
from tickfan.wire import events
from tickfan.wire.formats import JSON_V1, MSGPACK_V1
from tickfan.wire.framing import PING_FRAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tickfan.access.identity import Identity
    from tickfan.core.closing import Reason
    from tickfan.core.cursor import Place
    from tickfan.core.pattern import Pattern
    from tickfan.fanout.finding import Prepared
    from tickfan.session.grants import Plan
    from tickfan.transports.admission import Admission

    CommandId = str | int | None  # of its answer, too
    Places = Mapping[str, Place] | None
    Do = Callable[[], None]

log = structlog.get_logger("tickfan.websocket")

_WRONG_FRAME = {
    frames.TEXT: f"{JSON_V1} takes text frames; to send MessagePack ask for the "
    f"subprotocol {MSGPACK_V1}",
    frames.BINARY: f"{MSGPACK_V1} takes binary frames; to send JSON ask for the "
    f"subprotocol {JSON_V1}",
}

AUTH_COMMANDS = 100
"""As so many commands counts an ``auth``: each is a check of a signature, and lines in the
audit log with all that is held."""

UNREAD_LOOK_S = 0.1
"""How often it is looked whether a client has read its large snapshot."""

ERRORS_MAX = 32
"""Channels of one command that are refused by name; of the others the number is told."""


class Conversation(Messages):
    """One client's commands and our answers."""

    __slots__ = (
        "_decode", "_has_waited", "_identity", "_kind", "_protocol", "_remote", "_turned_away",
        "format",
    )  # fmt: skip

    def __init__(
        self,
        admission: Admission,
        protocol: str | None,
        identity: Identity,
        remote: str,
        *,
        turned_away: Reason | None = None,
    ) -> None:
        """``turned_away`` says why it has to go at once, which its handshake showed."""
        self.format = admission.formats.websocket(protocol)
        super().__init__(admission, self.format.name)
        self._protocol = protocol or MSGPACK_V1
        self._identity = identity
        self._remote = remote
        self._turned_away = turned_away
        is_json = protocol == JSON_V1
        self._decode = commands.decode_json if is_json else commands.decode_msgpack
        self._kind = frames.TEXT if is_json else frames.BINARY
        # It has been given time for its cursor.
        self._has_waited = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Welcome the client, or send it away."""
        super().connection_made(transport)
        admission = self.admission
        refused = self._turned_away or (
            admission.refuses(self._identity, lossless=False)
            if admission.tune(self.transport)
            else closing.INTERNAL
        )
        if refused is not None:
            admission.turned_away(self.format, refused, self.name, self._remote)
            self.goodbye(refused)
            return
        try:
            self.connection = admission.connections.connect(
                self.format,
                self.transport,
                self.on_end,
                self._identity,
                remote=self._remote,
                ping=PING_FRAME,
            )
            if not self._identity.reads.patterns:
                timeout_s = admission.limits.auth_timeout_s
                admission.connections.expect_token(self.connection, timeout_s)
            welcome = events.welcome(
                self.connection.id,
                self._protocol,
                admission.subscriptions.epoch,
                admission.clock.wall_ms(),
                message_bytes_max=admission.limits.message_bytes_max,
                updates_bytes_max=admission.formats.updates_bytes_max,
                channels_per_connection_max=admission.rules.channels_per_connection_max,
                wildcards_per_connection_max=admission.rules.wildcards_per_connection_max,
                commands_per_s_max=admission.limits.allowance.commands_per_s_max,
            )
            is_simulated = admission.subscriptions.is_simulated
            self._say("welcome", events.marked(welcome, is_simulated=is_simulated))
        except Exception:
            log.exception("a conversation failed", **self.account())
            self.goodbye(closing.INTERNAL)

    def last_words(self, reason: Reason, cursor: str | None) -> None:
        """The ``closing`` event and the close frame; the client's closes the socket."""
        self.transport.write(self.goodbye_frames(reason, cursor))

    def goodbye_frames(self, reason: Reason, cursor: str | None) -> bytes:
        """The ``closing`` event and the close frame."""
        event = self.admission.closing_event(self.format, reason, cursor)
        return event + frames.close_frame(reason.code, reason.name)

    def answer(self, kind: int, data: bytes) -> None:
        """Do one command; what is wrong with it is said, and the connection lives on."""
        command_id: CommandId = None
        try:
            if len(data) > self.admission.limits.message_bytes_max:
                raise Refusal(  # noqa: TRY301 - one way out for every refusal
                    "message_too_big",
                    f"{len(data)} bytes; at most {self.admission.limits.message_bytes_max} go",
                )
            if kind != self._kind:
                raise Refusal("wrong_frame", _WRONG_FRAME[self._kind])  # noqa: TRY301
            message = self._decode(data)
            command_id = commands.command_id(message)
            op = commands.check_command(message)
            self._do(op, message, command_id)
        except Refusal as refusal:
            self._refuse([refusal], command_id)

    def _do(self, op: str, message: dict[str, Any], command_id: CommandId) -> None:
        if op == "ping":
            self._say(
                "pong", events.answering(command_id, events.pong(self.admission.clock.wall_ms()))
            )
        elif op == "auth":
            self._authenticate(commands.token_of(message), command_id)
        elif op == "unsubscribe":
            self._unsubscribe(commands.patterns_of(message), command_id)
        else:
            self._subscribe(message, command_id)

    def _subscribe(self, message: dict[str, Any], command_id: CommandId) -> None:
        admission, connection = self.admission, self.connection
        assert connection is not None
        channels_max = admission.rules.channels_per_connection_max
        fields = {"snapshot": admission.limits.snapshot, **message}
        request = parse_request(fields, channels_max)
        check_count(request, channels_max)
        identity = connection.identity
        plan = admission.subscriptions.plan(request, identity)
        refused = admission.refuses(identity, lossless=plan.is_lossless, is_in=True)
        if refused is not None:
            connection.subscriber.end(refused)
            return
        prepared = admission.subscriptions.prepare(plan, self.format, connection)
        grant = partial(self._grant, plan, prepared, command_id)
        self._when_ready(prepared, self._ahead(plan.places()), grant, command_id)

    def _ahead(self, places: Places) -> Places:
        """The places to wait for. Once: a connection could keep a wait for ever."""
        if not places or self._has_waited or not self.admission.feeds.behind(places):
            return None
        self._has_waited = True
        return places

    def _authenticate(self, token: str, command_id: CommandId) -> None:
        """Go on as the bearer of another token, whose key may have to be looked for."""
        self.charge_commands(AUTH_COMMANDS)
        try:
            identity = self.admission.gate.identify(token)
        except UnknownKey:
            self._task = self.admission.loop.create_task(self._look_for_key(token, command_id))
        else:
            self._go_on_as(identity, command_id)

    async def _look_for_key(self, token: str, command_id: CommandId) -> None:
        try:
            try:
                identity = await self.admission.gate.identify_soon(token)
            finally:
                self._task = None
            if self.connection is not None:
                with self.admission.charged(self.charge):
                    self._go_on_as(identity, command_id)
        except Refusal as refusal:
            self._refuse([refusal], command_id)
        except Exception:
            log.exception("a conversation failed", **self.account())
            self.goodbye(closing.INTERNAL)
        if self._task is None:
            self._read()

    def _go_on_as(self, identity: Identity, command_id: CommandId) -> None:
        """Take another token's identity; what it does not allow is dropped."""
        admission, connection = self.admission, self.connection
        assert connection is not None
        if admission.connections.is_full_for(identity, but=connection):
            connection.subscriber.end(closing.THROTTLED)
            return
        narrowed = admission.subscriptions.narrow(connection, identity)

        def renew() -> None:
            admission.gate.admit(identity)  # here, as things change while one waits
            # What is dropped was the old token's.
            admission.subscriptions.renew(connection, narrowed)
            admission.connections.renew(connection, identity)
            fields = events.authenticated(
                identity.subject,
                identity.expires_ms,
                identity.reads,
                identity.interval_ms_min,
                narrowed.dropped,
            )
            self._say("authenticated", events.answering(command_id, fields))
            self._name([identity.cannot_read(pattern.text) for pattern in narrowed.dropped], None)

        self._when_ready(narrowed.prepared, None, renew, command_id)

    def _unsubscribe(self, patterns: list[Pattern], command_id: CommandId) -> None:
        subscriptions, connection = self.admission.subscriptions, self.connection
        assert connection is not None
        prepared = subscriptions.prepare_unsubscribe(connection, patterns)

        def drop() -> None:
            subscriptions.unsubscribe(connection, patterns, prepared)
            self._say("unsubscribed", events.answering(command_id, events.unsubscribed(patterns)))

        self._when_ready(prepared, None, drop, command_id)

    def _when_ready(
        self, prepared: Prepared, places: Places, do: Do, command_id: CommandId
    ) -> None:
        """Do a command now, or when what it needs is here: those behind it wait, too."""
        if places is None and not prepared.is_large and not self._has_much_to_read():
            do()
        else:
            self._task = self.admission.loop.create_task(
                self._wait(prepared, places, do, command_id)
            )

    async def _wait(
        self, prepared: Prepared, places: Places, do: Do, command_id: CommandId
    ) -> None:
        """Do a command when this replica has read as far as the cursor, and has searched."""
        try:
            try:
                refused = await self.admission.wait_for(places)
                # Before the search: what that finds is as large as what is read meanwhile.
                while self._has_much_to_read():  # noqa: ASYNC110 - its backlog knows no event
                    await asyncio.sleep(UNREAD_LOOK_S)
                if refused is None:
                    await self.admission.ready(prepared, self.transport, self.charge)
            finally:
                self._task = None
            if self.connection is not None and refused is not None:
                self.connection.subscriber.end(refused)
            elif not self.transport.is_closing():  # or not all was found
                with self.admission.charged(self.charge):
                    do()
        except Refusal as refusal:
            self._refuse([refusal], command_id)
        except Exception:
            log.exception("a conversation failed", **self.account())
            self.goodbye(closing.INTERNAL)
        self._read()

    def _has_much_to_read(self) -> bool:
        """Whether a large snapshot waits for the client: to join another to it takes long."""
        connection = self.connection
        return connection is not None and connection.unread > LOOKS_AT_ONCE

    def _grant(self, plan: Plan, prepared: Prepared, command_id: CommandId) -> None:
        connection = self.connection
        assert connection is not None
        granted = self.admission.subscriptions.subscribe(
            connection, plan, prepared, Answer(command_id)
        )
        if granted.fields is not None:
            self.admission.connections.has_asked(connection)
        self._refuse(granted.refusals, command_id)

    def _refuse(self, refusals: Sequence[Refusal], command_id: CommandId) -> None:
        """Name what was refused, and note it in the audit log if it is of who the client is."""
        connection = self.connection
        if connection is not None:
            identity, remote = connection.identity, connection.remote
            self.admission.audit.refused(identity, remote, self.name, refusals, connection.id)
        self._name(refusals, command_id)

    def _name(self, refusals: Sequence[Refusal], command_id: CommandId) -> None:
        """Name what the client cannot have, in one write: many errors are no sign of a slow one."""
        if not refusals:
            return
        named = list(refusals[:ERRORS_MAX])
        if more := len(refusals) - len(named):
            named.append(Refusal("more_refused", f"{more} more channels were refused"))
        self.admission.tally.refusals.update(refusal.code for refusal in refusals)
        errors = [events.answering(command_id, events.error(refusal)) for refusal in named]
        self._send(b"".join([self.format.event("error", error) for error in errors]))

    def _say(self, event: str, fields: dict[str, Any]) -> None:
        self._send(self.format.event(event, fields))

    def _send(self, data: bytes) -> None:
        if self.connection is not None:
            self.connection.subscriber.control(data)
