"""Messages between a worker and the child process that runs a pipeline.

    worker ◀─Enclosed── child       worker ──Infer──▶ child
    worker ──Load─────▶ child       worker ◀─Progress (0 … n times)── child
    worker ◀─Ready───── child       worker ◀─Done or Failed── child

Each message is a frozen dataclass, sent as JSON behind a fixed head over a Unix stream socket.
Arrays travel beside it as sealed memfds (SCM_RIGHTS): nobody can change or shrink them after they
were sent, and the kernel frees them whoever dies. Nothing that arrives is ever executed: there is
no pickle here.
"""

import contextlib
import dataclasses
import fcntl
import json
import math
import mmap
import os
import select
import socket
import struct
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from appliance.core.errors import (
    ApplianceError,
    BadInstance,
    ConfigError,
    InputRefused,
    PermanentPipelineError,
    TransientPipelineError,
)
from pipelines.base import PipelineOutput
from pipelines.sandbox.enclosure import Isolation
from pipelines.specs import ParameterValue
from pipelines.volume import Volume

Array = npt.NDArray[Any]

MAX_MESSAGE_BYTES = 64 << 20
MAX_DESCRIPTORS = 64
SMALL_ARRAY = 64  # elements; up to here an array is written into the JSON
DTYPES = frozenset({"|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<f4", "<f8"})

_HEAD = struct.Struct("!II")  # bytes of JSON, number of descriptors
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class BrokenChannel(TransientPipelineError):
    """The other side went away in the middle of a message, or sent what is no message."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Enclosed:
    """The process is enclosed, and nothing of the pipeline was read yet."""

    isolation: Isolation


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Load the pipeline; `device` is what the settings say: auto, cpu, cuda, cuda:1.

    A GPU must have `gpu_needed` bytes free, if that is more than the manifest says: what earlier
    runs took. `gpu_limit` is what PyTorch may take there, 0 for all.
    """

    device: str
    gpu_needed: int = 0
    gpu_limit: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The pipeline is loaded, on this device really; the process holds so much of a GPU."""

    device: str
    seconds: float
    gpu_memory: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Infer:
    """Run the pipeline on these volumes, by the name of the pipeline's input.

    `files`, `scratch` and `parameters` are those of `PipelineInput`, `parameters` only as far as
    the site set them.
    """

    run_uid: str
    volumes: Mapping[str, Volume]
    files: Mapping[str, tuple[str, ...]]
    scratch: str
    parameters: Mapping[str, ParameterValue]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the pipeline is (0 … 1) and what it does."""

    fraction: float
    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Done:
    """The pipeline's result; `gpu_memory` as in Ready."""

    output: PipelineOutput
    seconds: float
    gpu_memory: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The pipeline's error: a class of the error tree by name, and its text.

    `ends` says that the child ends itself after this message. `is_gpu_full` says that the GPU's
    memory was not enough: by `gpu_lacking` bytes, as far as that is known, else 0.
    """

    error: str
    text: str
    ends: bool
    is_gpu_full: bool = False
    gpu_lacking: int = 0


Message = Enclosed | Load | Ready | Infer | Progress | Done | Failed

KINDS: Mapping[str, type[Message]] = {
    "enclosed": Enclosed,
    "load": Load,
    "ready": Ready,
    "infer": Infer,
    "progress": Progress,
    "done": Done,
    "failed": Failed,
}
_KIND_OF = {message: kind for kind, message in KINDS.items()}

# Most particular first: an error travels under the name of the first class that it is.
ERRORS: tuple[type[ApplianceError], ...] = (
    InputRefused,
    PermanentPipelineError,
    TransientPipelineError,
    BadInstance,
    ConfigError,
)


def failed(error: ApplianceError, *, ends: bool = False) -> Failed:
    """Return `error` as a message; a class that does not travel becomes a permanent error."""
    for known in ERRORS:
        if isinstance(error, known):
            return Failed(error=known.__name__, text=str(error), ends=ends)
    text = f"{type(error).__name__}: {error}"
    return Failed(error=PermanentPipelineError.__name__, text=text, ends=ends)


def as_error(message: Failed) -> ApplianceError:
    """Return the error that `message` tells of."""
    by_name = {known.__name__: known for known in ERRORS}
    return by_name.get(message.error, PermanentPipelineError)(message.text)


# -- the channel --------------------------------------------------------------------------


class Channel:
    """One end of the socket. Not for use by several threads at once."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close this end; the other one reads the end of the stream."""
        self._connection.close()

    def fileno(self) -> int:
        """Return the descriptor to poll for the next message."""
        return self._connection.fileno()

    def is_hung_up(self) -> bool:
        """Return whether the other end is closed."""
        poll = select.poll()
        poll.register(self._connection, 0)
        return any(event & select.POLLHUP for _, event in poll.poll(0))

    def send(self, message: Message, *, timeout: float | None = None) -> None:
        """Send `message`, its arrays as memfds. Raises BrokenChannel, also after `timeout` s."""
        descriptors: list[int] = []
        try:
            body = pack(message, descriptors)
            text = json.dumps({"kind": _KIND_OF[type(message)], "body": body}).encode()
            self._connection.settimeout(timeout)
            self._send_bytes(text, descriptors)
        except OSError as error:
            raise BrokenChannel(f"could not send: {error.strerror or error}") from error
        finally:
            _close_all(descriptors)

    def _send_bytes(self, text: bytes, descriptors: list[int]) -> None:
        if len(text) > MAX_MESSAGE_BYTES or len(descriptors) > MAX_DESCRIPTORS:
            raise BrokenChannel(f"message too large: {len(text)} B, {len(descriptors)} arrays")
        head = _HEAD.pack(len(text), len(descriptors))
        # The descriptors ride on the head, so that the reader has them before the text. Eight
        # bytes are never split: a stream socket takes them whole or not at all.
        socket.send_fds(self._connection, [head], descriptors)
        self._connection.sendall(text)

    def receive(self, *, timeout: float | None = None) -> Message | None:
        """Return the next message, or None at the end of the stream. Raises BrokenChannel."""
        descriptors: list[int] = []
        self._connection.settimeout(timeout)
        try:
            head = self._read_head(descriptors)
            if head is None:
                return None
            return self._read_message(head, descriptors)
        except OSError as error:
            raise BrokenChannel(f"could not receive: {error.strerror or error}") from error
        finally:
            _close_all(descriptors)

    def _read_head(self, descriptors: list[int]) -> bytes | None:
        head = b""
        while len(head) < _HEAD.size:
            space = socket.CMSG_LEN(MAX_DESCRIPTORS * 4)
            part, ancillary, _, _ = self._connection.recvmsg(
                _HEAD.size - len(head), space, socket.MSG_CMSG_CLOEXEC
            )
            for level, kind, data in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    descriptors += struct.unpack(f"={len(data) // 4}i", data)
            if not part:
                if head:
                    raise BrokenChannel("the stream ended inside a message")
                return None
            head += part
        return head

    def _read_message(self, head: bytes, descriptors: list[int]) -> Message:
        size, count = _HEAD.unpack(head)
        if size > MAX_MESSAGE_BYTES or count != len(descriptors):
            raise BrokenChannel(f"not a message: {size} B, {count} arrays announced")
        text = bytearray(size)
        view = memoryview(text)
        while view:
            received = self._connection.recv_into(view)
            if not received:
                raise BrokenChannel("the stream ended inside a message")
            view = view[received:]
        try:
            envelope = json.loads(text)
            kind = KINDS[envelope["kind"]]
            return typing.cast(Message, unpack(kind, envelope["body"], descriptors))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise BrokenChannel(f"not a message: {type(error).__name__}: {error}") from error


def _close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


# -- values to JSON and back ----------------------------------------------------------------


def pack(value: object, descriptors: list[int]) -> object:
    """Return `value` as JSON can hold it; arrays are appended to `descriptors` as memfds."""
    if value is None or isinstance(value, str | bool | int | float):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, np.ndarray):
        return _pack_array(value, descriptors)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: pack(getattr(value, name), descriptors) for name in names}
    if isinstance(value, Mapping):
        return {str(key): pack(item, descriptors) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [pack(item, descriptors) for item in value]
    raise TypeError(f"{type(value).__name__} cannot be sent")


def unpack(hint: Any, data: Any, descriptors: list[int]) -> object:  # noqa: ANN401
    """Return `data` as the type `hint` says. Raises ValueError, KeyError, TypeError."""
    origin = typing.get_origin(hint) or hint
    if origin in (types.UnionType, typing.Union):
        return _unpack_union(typing.get_args(hint), data, descriptors)
    if origin is np.ndarray:
        return _unpack_array(data, descriptors)
    if origin is tuple:
        return _unpack_tuple(typing.get_args(hint), data, descriptors)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        item_hint = typing.get_args(hint)[1]
        return {key: unpack(item_hint, item, descriptors) for key, item in data.items()}
    if dataclasses.is_dataclass(hint):
        return _unpack_dataclass(hint, data, descriptors)
    return _scalar(hint, data)


def _unpack_dataclass(hint: Any, data: Any, descriptors: list[int]) -> object:  # noqa: ANN401
    hints = typing.get_type_hints(hint)
    names = [field.name for field in dataclasses.fields(hint)]
    return hint(**{name: unpack(hints[name], data[name], descriptors) for name in names})


def _scalar(hint: Any, data: object) -> object:  # noqa: ANN401
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(data)
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if hint is type(None) and data is None:
        return None
    if hint in (str, int, float, bool) and type(data) is hint:
        return data
    raise TypeError(f"{hint} expected, got {type(data).__name__}")


def _unpack_union(hints: tuple[Any, ...], data: object, descriptors: list[int]) -> object:
    if data is None and type(None) in hints:
        return None
    others = [hint for hint in hints if hint is not type(None)]
    if len(others) == 1:
        return unpack(others[0], data, descriptors)
    exact = [hint for hint in others if type(data) is hint]
    return _scalar(exact[0] if exact else float, data)


def _unpack_tuple(
    hints: tuple[Any, ...], data: list[object], descriptors: list[int]
) -> tuple[object, ...]:
    if len(hints) == 2 and hints[1] is Ellipsis:
        return tuple(unpack(hints[0], item, descriptors) for item in data)
    return tuple(unpack(h, item, descriptors) for h, item in zip(hints, data, strict=True))


# -- arrays -----------------------------------------------------------------------------------


def _pack_array(array: Array, descriptors: list[int]) -> dict[str, object]:
    if array.dtype.str not in DTYPES:
        raise TypeError(f"an array of {array.dtype} cannot be sent")
    head: dict[str, object] = {"dtype": array.dtype.str, "shape": list(array.shape)}
    if array.size <= SMALL_ARRAY:
        return head | {"values": array.ravel().tolist()}
    descriptors.append(sealed_memory(array))
    return head | {"descriptor": len(descriptors) - 1}


def sealed_memory(array: Array) -> int:
    """Return a memfd with the array's bytes in C order that nobody can change any more."""
    descriptor = os.memfd_create("array", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        rest = np.ascontiguousarray(array).data.cast("B")
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _unpack_array(data: Mapping[str, Any], descriptors: list[int]) -> Array:
    if data["dtype"] not in DTYPES:
        raise ValueError(f"an array of {data['dtype']} is not allowed")
    dtype = np.dtype(data["dtype"])
    shape = tuple(int(length) for length in data["shape"])
    if "values" in data:
        return np.array(data["values"], dtype=dtype).reshape(shape)
    memory = _map(descriptors[data["descriptor"]], math.prod(shape) * dtype.itemsize)
    return np.frombuffer(memory, dtype=dtype).reshape(shape)


def _map(descriptor: int, size: int) -> mmap.mmap:
    """Return the memfd's memory, copied on write. Raises ValueError where it is not as sealed.

    Private, because Linux before 6.7 refuses a shared mapping of write-sealed memory.
    """
    if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
        raise ValueError("the array's memory is not sealed")
    if os.fstat(descriptor).st_size != size:
        raise ValueError("the array's memory has another size than its shape")
    return mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY)
