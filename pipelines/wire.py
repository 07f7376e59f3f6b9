"""Messages between a worker and the child process that runs a pipeline.

    worker ◀─Enclosed── child       worker ──Infer──▶ child
    worker ──Load─────▶ child       worker ◀─Progress (0 … n times)── child
    worker ◀─Ready───── child       worker ◀─Done or Failed── child
    worker ──Prepare──▶ child: at any time, of the run that comes next; there is no answer

Each message is a frozen dataclass, sent as JSON behind a fixed head over a Unix stream socket.
Arrays travel beside it as sealed memfds (SCM_RIGHTS): nobody can change or shrink them after they
were sent, and the kernel frees them whoever dies. Nothing that arrives is ever executed: there is
no pickle here.
"""

import contextlib
import dataclasses
import json
import os
import select
import socket
import struct
import threading
import typing
from collections.abc import Mapping

from appliance.core.errors import (
    ApplianceError,
    BadInstance,
    ConfigError,
    InputRefused,
    PermanentPipelineError,
    TransientPipelineError,
)
from pipelines.base import PipelineOutput
from pipelines.packing import pack, unpack
from pipelines.sandbox.enclosure import Isolation
from pipelines.specs import ParameterValue
from pipelines.volume import Volume

MAX_MESSAGE_BYTES = 64 << 20
MAX_DESCRIPTORS = 64

_HEAD = struct.Struct("!II")  # bytes of JSON, number of descriptors


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
    """The pipeline is loaded, on this device really; the process holds so much of a GPU.

    `prepares` says whether it has a use for Prepare.
    """

    device: str
    seconds: float
    gpu_memory: int
    prepares: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepare:
    """Make ready what Infer with this `run_uid` and these volumes will want."""

    run_uid: str
    volumes: Mapping[str, Volume]


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


Message = Enclosed | Load | Ready | Prepare | Infer | Progress | Done | Failed

KINDS: Mapping[str, type[Message]] = {
    "enclosed": Enclosed,
    "load": Load,
    "ready": Ready,
    "prepare": Prepare,
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
    """One end of the socket. Several threads may send; one of them receives."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close this end; the other one reads the end of the stream."""
        with self._sending:  # else a number of ours could already be another file's
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
            with self._sending:
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
