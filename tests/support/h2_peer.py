"""One end of a connection in HTTP/2, a step at a time; or frame by frame where it must be wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import hpack
import hyperframe.frame as frames
from h2.settings import SettingCodes, Settings

from tests.support.http_peer import Peer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER = 9
GOAWAY = 7
Fields = list[tuple[str, str]]


def request_fields(path: str = "/", *more: tuple[str, str], method: str = "GET") -> Fields:
    """The fields of a request."""
    pseudo = [(":method", method), (":scheme", "http"), (":authority", "a.flycast")]
    return [*pseudo, (":path", path), *more]


@dataclass(slots=True)
class Message:
    """What came on one stream."""

    fields: Fields = field(default_factory=list)
    interim: list[Fields] = field(default_factory=list)
    body: bytes = b""
    trailers: Fields = field(default_factory=list)
    ended: bool = False
    reset: int | None = None
    unacknowledged: int = 0

    def __getitem__(self, name: str) -> str:
        return next(value for key, value in self.fields if key == name)

    def get(self, name: str) -> str | None:
        """The first value of a field."""
        return next((value for key, value in self.fields if key == name), None)


class H2Peer:
    """A connection that follows the rules. Blocks as its ``Peer`` does.

    With ``hold`` it makes no room for data beyond its first windows until told so.
    """

    def __init__(
        self,
        peer: Peer,
        *,
        client: bool = True,
        settings: dict[SettingCodes, int] | None = None,
        hold: bool = False,
        upgraded: bool = False,
    ) -> None:
        config = h2.config.H2Configuration(
            client_side=client,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            validate_inbound_headers=client,
        )
        self.peer = peer
        self.hold = hold
        self.streams: dict[int, Message] = {}
        self.goaway: int | None = None
        self.pongs = 0
        self._accepted = 0
        self._unread = b""
        self._greeted = not client
        self.conn = h2.connection.H2Connection(config)
        if settings:
            self.conn.local_settings = Settings(client=client, initial_values=settings)
        if upgraded:
            self.conn.initiate_upgrade_connection()
            self.streams[1] = Message()
        else:
            self.conn.initiate_connection()
        self.flush()

    def flush(self) -> None:
        """Sends what is to be sent."""
        self.peer.send(self.conn.data_to_send())

    def request(self, fields: Fields, body: bytes | None = None, *, more: bool = False) -> int:
        """Begins a request, and ends it unless there is ``more``."""
        stream = self.conn.get_next_available_stream_id()
        self.streams[stream] = Message()
        self.conn.send_headers(stream, fields, end_stream=body is None and not more)
        if body is not None:
            self.conn.send_data(stream, body, end_stream=not more)
        self.flush()
        return stream

    def answer(self, stream: int, fields: Fields, body: bytes = b"", *, more: bool = False) -> None:
        """Sends the head of a response and a body."""
        ends = not body and not more
        self.conn.send_headers(stream, fields, end_stream=ends)
        if body:
            self.conn.send_data(stream, body, end_stream=not more)
        self.flush()

    def data(self, stream: int, body: bytes, *, end: bool = False) -> None:
        """Sends a part of a body."""
        self.conn.send_data(stream, body, end_stream=end)
        self.flush()

    def trailers(self, stream: int, fields: Fields) -> None:
        """Ends a body with trailers."""
        self.conn.send_headers(stream, fields, end_stream=True)
        self.flush()

    def reset(self, stream: int, code: int = 8) -> None:
        """Gives a stream up."""
        self.conn.reset_stream(stream, code)
        self.flush()

    def ping(self) -> None:
        """Returns when the other side has read all that was sent."""
        pongs = self.pongs
        self.conn.ping(b"everyone")
        self.flush()
        self.until(lambda: self.pongs > pongs)

    def take_body(self, stream: int) -> None:
        """Makes room for as much as came."""
        message = self.streams[stream]
        if message.unacknowledged:
            self.conn.acknowledge_received_data(message.unacknowledged, stream)
            message.unacknowledged = 0
            self.flush()

    def until(self, done: Callable[[], bool]) -> None:
        """Reads until something holds; AssertionError when the connection ends before."""
        while not done():
            if not self.step():
                raise AssertionError(f"the connection ended: {self.streams}, {self.goaway}")

    def step(self) -> bool:
        """Reads once; false at the end of the connection."""
        data = self.peer.buffer or self.peer.sock.recv(1 << 16)
        self.peer.buffer = b""
        if not data:
            return False
        self._unread += data
        for part in self._parts():
            for event in self.conn.receive_data(part):
                self._take(event)
        self.flush()
        return True

    def _parts(self) -> Iterator[bytes]:
        """The preface and whole frames; GOAWAY only leaves its code, for what was begun goes on."""
        if self._greeted and len(self._unread) >= len(PREFACE):
            self._greeted, self._unread = False, self._unread[len(PREFACE) :]
            yield PREFACE
        while len(self._unread) >= HEADER and not self._greeted:
            end = HEADER + int.from_bytes(self._unread[:3], "big")
            if len(self._unread) < end:
                return
            frame, self._unread = self._unread[:end], self._unread[end:]
            if frame[3] == GOAWAY:
                self.goaway = int.from_bytes(frame[13:17], "big")
            else:
                yield frame

    def response(self, stream: int) -> Message:
        """The whole response on a stream, or how it was reset."""
        message = self.streams[stream]
        self.until(lambda: message.ended or message.reset is not None)
        return message

    def head(self, stream: int) -> Message:
        """The response on a stream, once its head is there."""
        message = self.streams[stream]
        self.until(lambda: bool(message.fields) or message.reset is not None)
        return message

    def fetch(self, path: str = "/", *more: tuple[str, str]) -> int:
        """Begins a GET request."""
        return self.request(request_fields(path, *more))

    def accept(self) -> tuple[int, Message]:
        """The next request that was not given out yet, once its head is there."""
        self.until(lambda: len(self.streams) > self._accepted)
        stream = sorted(self.streams)[self._accepted]
        self._accepted += 1
        return stream, self.streams[stream]

    def end(self) -> int | None:
        """Reads to the end of the connection; gives the code of its GOAWAY."""
        while self.step():
            pass
        return self.goaway

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived():
                self.streams[event.stream_id].fields = fields_of(event.headers)
            case h2.events.RequestReceived():
                self.streams[event.stream_id] = Message(fields=fields_of(event.headers))
            case h2.events.InformationalResponseReceived():
                self.streams[event.stream_id].interim.append(fields_of(event.headers))
            case h2.events.TrailersReceived():
                self.streams[event.stream_id].trailers = fields_of(event.headers)
            case h2.events.DataReceived():
                message = self.streams[event.stream_id]
                message.body += event.data
                message.unacknowledged += event.flow_controlled_length or 0
                if not self.hold:
                    self.take_body(event.stream_id)
            case h2.events.StreamEnded():
                self.streams[event.stream_id].ended = True
            case h2.events.PingAckReceived():
                self.pongs += 1
            case h2.events.StreamReset():
                self.streams[event.stream_id].reset = int(event.error_code or 0)
            case _:
                pass


def fields_of(headers: Iterable[tuple[object, object]] | None) -> Fields:
    """Fields as text."""
    return [(str(name), str(value)) for name, value in headers or []]


class Frames:
    """A client that sends whatever frames a test makes up, and reads what comes back."""

    def __init__(self, peer: Peer, *, begin: bool = True) -> None:
        self.peer = peer
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        if begin:
            self.peer.send(PREFACE)
            self.send(frames.SettingsFrame())

    def send(self, *some: frames.Frame | bytes) -> None:
        """Sends frames in one write."""
        whole = [one if isinstance(one, bytes) else one.serialize() for one in some]
        self.peer.send(b"".join(whole))

    def headers(
        self, fields: Fields, stream: int = 1, *, end: bool = True, **more: object
    ) -> frames.HeadersFrame:
        """A HEADERS frame, whole unless ``flags`` say otherwise."""
        flags = ["END_HEADERS", *(["END_STREAM"] if end else [])]
        made = frames.HeadersFrame(stream, self.encoder.encode(fields), flags=flags)
        for name, value in more.items():
            setattr(made, name, value)
        return made

    def next(self) -> frames.Frame:
        """The next frame."""
        made, length = frames.Frame.parse_frame_header(memoryview(self.peer.take(HEADER)))
        made.parse_body(memoryview(self.peer.take(length)))
        return made

    def failure(self) -> tuple[str, int]:
        """What comes of a mistake: ``stream`` or ``connection`` and a code, or ``status``."""
        while True:
            match self.next():
                case frames.RstStreamFrame() as reset:
                    return "stream", reset.error_code
                case frames.GoAwayFrame() as away:
                    return "connection", away.error_code
                case frames.HeadersFrame() as head:
                    fields = self.decoder.decode(head.data, raw=True)
                    return "status", int(dict(fields)[b":status"])
                case _:
                    pass


def raw(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    """Any frame."""
    header = len(payload).to_bytes(3, "big") + bytes([kind, flags])
    return header + stream.to_bytes(4, "big") + payload
