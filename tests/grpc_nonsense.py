"""Messages that no honest client sends, for every method of the gRPC door, and how the door is to take them."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from leaks import leak_of

from gnas_serve.service.proto import recommender_pb2 as pb

DEADLINE_S = 20.0
IN_FLIGHT = 32
# A call is answered or refused for what it is. INTERNAL and UNKNOWN are bugs, DEADLINE_EXCEEDED is a hang here.
HONEST = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"}
_SERVICE = pb.DESCRIPTOR.services_by_name["Recommender"]
METHODS: dict[str, type[Message]] = {
    f"/{_SERVICE.full_name}/{method.name}": getattr(pb, method.input_type.name) for method in _SERVICE.methods
} | {"/grpc.health.v1.Health/Check": health_pb2.HealthCheckRequest}
UNKNOWN_METHODS = (
    "/gnas.serve.v1.Recommender/Nothing",
    "/gnas.serve.v1.Recommender/",
    "/gnas.serve.v2.Recommender/Recommend",
    "/gnas.serve.v1.Recommender/Recommend/",
    "/",
    "/../../etc/passwd",
    "/x" * 500,
)
_NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: (0, 1, 10, -1, 100, 101, 1000, 1001, 2**31 - 1, -(2**31)),
    FieldDescriptor.CPPTYPE_INT64: (0, 1, -1, 1007, 2003, 2**63 - 1, -(2**63)),
    FieldDescriptor.CPPTYPE_DOUBLE: (
        0.0,
        0.5,
        1.0,
        -0.0,
        2.0,
        float("nan"),
        float("inf"),
        -float("inf"),
        5e-324,
        1e308,
    ),
    FieldDescriptor.CPPTYPE_BOOL: (True, False),
}
_TEXTS = ("", "1007", "2003", "\x00", "a\n\x1b[31m", "\U0001f600", "x" * 257, "..", "%s%n{0}", "'; drop", "(" * 1500)
_FILTERS = ("price < 50", "price <", "not " * 400 + "price < 1", '"' + "a" * 1900, "category in [" + '"a",' * 400 + "]")
_NAMES = ["region", "age", "region", "age", "member", "", "\x00", "x" * 257]  # of features, see segment_tables
_ATTRIBUTES = ["price", "category", "tags", "in_stock", "price", "category", "tags", "\x00"]  # see attribute_tables
_MOST_BYTES = 1 << 20


class Sent(NamedTuple):
    """One message to one method, and what kind of nonsense it is."""

    kind: str
    path: str
    message: bytes


class Nonsense:
    """Draws messages; the same ones from the same seed."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def messages(self, count: int) -> Iterator[Sent]:
        """Draw so many."""
        kinds: dict[str, Callable[[bytes], bytes]] = {
            "values": lambda message: message,
            "truncated": self._truncated,
            "changed": self._changed,
            "noise": lambda _message: self._rng.randbytes(self._rng.randrange(300)),
            "wire types": lambda message: message + self._field(),
            "varint": lambda message: message + self._tag() + b"\xff" * self._rng.randrange(1, 24),
            "length": lambda message: (
                message + self._tag(2) + _varint(self._rng.choice((2**31, 2**32 - 1, 2**63, 5000)))
            ),
            "nesting": self._nested,
            "text": lambda message: message + self._tag(2) + b"\x04\xff\xfe\xed\xa0",
            "unknown fields": lambda message: message + b"".join(self._unknown() for _ in range(20)),
            "empty": lambda _message: b"",
        }
        names, paths = sorted(kinds), sorted(METHODS)
        for number in range(count):
            if number % 500 == 499:
                yield Sent("oversize", self._rng.choice(paths), b"\x00" * (_MOST_BYTES + self._rng.randrange(1, 1000)))
                continue
            path = self._rng.choice(paths)
            kind = self._rng.choice(names)
            message = kinds[kind](self._message(METHODS[path].DESCRIPTOR).SerializeToString())
            if self._rng.random() < 0.03:
                path, kind = self._rng.choice(UNKNOWN_METHODS), "unknown method"
            yield Sent(kind, path, message)

    def _message(self, kind: Descriptor) -> Message:
        found = _class_of(kind)()
        for field in kind.fields:
            if self._rng.random() < 0.4:
                continue
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                self._fill_map(getattr(found, field.name), field.message_type)
            elif field.is_repeated:
                count = self._rng.choice((0, 1, 3)) if self._rng.random() < 0.98 else self._rng.choice((1001, 10_001))
                into = getattr(found, field.name)
                one = None if count < 1000 else self._value(field)
                into.extend(one if one is not None else self._value(field) for _ in range(count))
            elif field.message_type is not None:
                getattr(found, field.name).CopyFrom(self._value(field))
            else:
                setattr(found, field.name, self._value(field))
        return found

    def _fill_map(self, found: Any, entry: Descriptor) -> None:
        """Put messages under names, of which a few are features of the artifact's users, or attributes of its items."""
        value = entry.fields_by_name["value"]
        is_attribute = value.message_type is pb.AttributeValue.DESCRIPTOR
        many = self._rng.random() < 0.02
        some = self._rng.sample(_ATTRIBUTES if is_attribute else _NAMES, self._rng.randrange(3))
        for name in [str(number) for number in range(101)] if many else some:
            found[name].CopyFrom(self._value(value))

    def _value(self, field: FieldDescriptor) -> Any:
        if field.message_type is not None:
            return self._message(field.message_type)
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            return self._rng.choice(_FILTERS if field.name == "filter" else _TEXTS)
        return self._rng.choice(_NUMBERS[field.cpp_type])

    def _truncated(self, message: bytes) -> bytes:
        return message[: self._rng.randrange(len(message) + 1)]

    def _changed(self, message: bytes) -> bytes:
        changed = bytearray(message or b"\x00")
        for _ in range(self._rng.randrange(1, 6)):
            place = self._rng.randrange(len(changed) + 1)
            changed[place : place + self._rng.randrange(3)] = self._rng.randbytes(self._rng.randrange(3))
        return bytes(changed)

    def _tag(self, wire_type: int | None = None) -> bytes:
        return _varint(self._rng.randrange(1, 15) << 3 | (self._rng.randrange(8) if wire_type is None else wire_type))

    def _field(self) -> bytes:
        return self._tag() + self._rng.randbytes(self._rng.choice((0, 1, 4, 8, 20)))

    def _unknown(self) -> bytes:
        return _varint(self._rng.randrange(20, 2**29) << 3 | 2) + b"\x03abc"

    def _nested(self, message: bytes) -> bytes:
        depth = self._rng.choice((50, 99, 101, 2000, 20_000))
        if self._rng.random() < 0.5:  # groups
            return message + b"\x0b" * depth + (b"\x0c" * depth if self._rng.random() < 0.5 else b"")
        inner = b""
        for _ in range(min(depth, 2000)):
            inner = b"\x0a" + _varint(len(inner)) + inner
        return inner


def put(channel: grpc.Channel, sent: Iterator[Sent]) -> tuple[Counter[tuple[str, str]], list[str]]:
    """Send messages, some at a time, and look at what comes back.

    Returns
    -------
    Counter, list of str
        How often each kind got each status, and what is wrong.
    """
    statuses: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
    waiting: deque[tuple[Sent, Any]] = deque()

    def take() -> None:
        one, call = waiting.popleft()
        code, details = call.code().name, call.details() or ""
        statuses[one.kind, code] += 1
        if code not in HONEST or leak_of(details) is not None:
            wrong.append(f"{one.kind} {one.path[:80]} {one.message[:60].hex()}: {code} {details[:200]!r}")

    for one in sent:
        waiting.append((one, channel.unary_unary(one.path).future(one.message, timeout=DEADLINE_S)))
        if len(waiting) >= IN_FLIGHT:
            take()
    while waiting:
        take()
    return statuses, wrong


def _class_of(kind: Descriptor) -> type[Message]:
    return getattr(health_pb2 if kind.file.package == "grpc.health.v1" else pb, kind.name)  # type: ignore[no-any-return]


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])
