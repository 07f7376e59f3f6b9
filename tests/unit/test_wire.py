"""Messages between worker and child arrive as they were sent, or not at all."""

import fcntl
import gc
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core.errors import (
    BadInstance,
    ConfigError,
    InputRefused,
    PeerError,
    PermanentPipelineError,
    TransientPipelineError,
)
from appliance.core.model import (
    Code,
    Feature,
    Finding,
    Measurement,
    PipelineResult,
    Region,
    Segment,
    Side,
)
from pipelines.base import PipelineOutput
from pipelines.packing import pack, sealed_memory, unpack
from pipelines.sandbox.enclosure import Isolation
from pipelines.volume import FrameRef, LabelMap, Volume
from pipelines.wire import (
    BrokenChannel,
    Channel,
    Done,
    Enclosed,
    Failed,
    Infer,
    Load,
    Message,
    Progress,
    Ready,
    as_error,
    failed,
)
from tests.volumes import volume


def infer_of(volumes: dict[str, Volume]) -> Infer:
    return Infer(
        run_uid="2.25.7",
        volumes=volumes,
        files=dict.fromkeys(volumes, ("a.dcm", "b.dcm")),
        scratch="scratch",
        parameters={"threshold": 0.5, "closed": True, "times": 3, "mode": "mean"},
    )


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
UIDS = st.from_regex(r"[12]\.[1-9][0-9]{0,20}", fullmatch=True)
CODES = st.builds(Code, value=st.text(), scheme=st.text(), meaning=st.text())
SIDES = st.none() | st.sampled_from(Side)
BYTES = st.integers(0, 255)
FINDINGS = st.builds(
    Finding,
    name=st.text(),
    structure=CODES,
    side=SIDES,
    measurements=st.lists(
        st.builds(
            Measurement,
            concept=CODES,
            value=st.none() | NUMBERS,
            unit=CODES,
            not_measured=st.text(),
        ),
        max_size=2,
    ).map(tuple),
    region=st.none()
    | st.builds(Region, segment_number=st.integers(1, 255), series_instance_uid=UIDS),
    tracking_uid=UIDS,
)
SEGMENTS = st.builds(
    Segment,
    number=st.integers(1, 255),
    name=st.text(),
    structure=CODES,
    category=CODES,
    side=SIDES,
    tracking_uid=UIDS,
    color=st.tuples(BYTES, BYTES, BYTES),
)
FEATURES = st.builds(
    Feature,
    group=st.text(),
    name=st.text(),
    number=st.none() | NUMBERS,
    category=st.none() | st.text(),
)
RESULTS = st.builds(
    PipelineResult,
    findings=st.lists(FINDINGS, max_size=3).map(tuple),
    segments=st.lists(SEGMENTS, max_size=3).map(tuple),
    features=st.lists(FEATURES, max_size=3).map(tuple),
    notes=st.lists(st.text(), max_size=2).map(tuple),
    embedding=st.none() | st.lists(NUMBERS, max_size=4).map(tuple),
)
SHAPES = st.tuples(*[st.integers(1, 9)] * 3)
ATTRIBUTES = st.dictionaries(
    st.text(min_size=1), st.lists(st.text() | NUMBERS, max_size=3).map(tuple), max_size=5
)


@st.composite
def volumes(draw: st.DrawFn) -> Volume:
    shape = draw(SHAPES)
    seed = draw(st.integers(0, 2**32 - 1))
    array = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    frame = st.builds(
        FrameRef,
        sop_instance_uid=UIDS,
        sop_class_uid=UIDS,
        frame_number=st.none() | st.integers(1, 1000),
        path_index=st.integers(0, 1000),
    )
    return Volume(
        array=array,
        affine=np.array(draw(st.lists(NUMBERS, min_size=16, max_size=16))).reshape(4, 4),
        spacing=draw(st.tuples(NUMBERS, NUMBERS, NUMBERS)),
        frames=draw(st.lists(frame, min_size=shape[0], max_size=shape[0]).map(tuple)),
        series_instance_uid=draw(UIDS),
        frame_of_reference_uid=draw(st.none() | UIDS),
        modality=draw(st.text()),
        attributes=draw(ATTRIBUTES),
    )


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    here, there = socket.socketpair()
    with Channel(here) as one, Channel(there) as other:
        yield one, other


def through(ends: tuple[Channel, Channel], message: Message) -> Message:
    ends[0].send(message, timeout=10)
    received = ends[1].receive(timeout=10)
    assert received is not None
    return received


def there_and_back(value: object, hint: object) -> object:
    descriptors: list[int] = []
    try:
        return unpack(hint, pack(value, descriptors), descriptors)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@given(RESULTS)
def test_a_result_comes_back_equal(result: PipelineResult) -> None:
    assert there_and_back(result, PipelineResult) == result


@settings(deadline=None)
@given(volumes())
def test_a_volume_comes_back_bit_by_bit(sent: Volume) -> None:
    received = there_and_back(sent, Volume)
    assert isinstance(received, Volume)
    np.testing.assert_array_equal(received.array, sent.array, strict=True)
    np.testing.assert_array_equal(received.affine, sent.affine, strict=True)
    for name in ("spacing", "frames", "series_instance_uid", "frame_of_reference_uid", "modality"):
        assert getattr(received, name) == getattr(sent, name)
    assert received.attributes == sent.attributes


@given(st.floats(0, 1), st.text())
def test_progress_comes_back_equal(fraction: float, text: str) -> None:
    sent = Progress(fraction=fraction, text=text)
    assert there_and_back(sent, Progress) == sent


def test_every_kind_of_message_travels(ends: tuple[Channel, Channel]) -> None:
    labels = LabelMap(array=np.arange(120, dtype=np.uint8).reshape(4, 5, 6), input_name="image")
    output = PipelineOutput(
        result=PipelineResult(findings=(), segments=(), features=()), label_map=labels
    )
    for message in (
        Enclosed(isolation=Isolation(parts=("seccomp",), lacking={"landlock": "not here"})),
        Load(device="auto"),
        Ready(device="cuda:0", seconds=1.5, gpu_memory=7, prepares=True),
        Progress(fraction=0.5, text="half"),
        Failed(error="InputRefused", text="a knee", ends=False),
        Failed(error="GpuFull", text="7", ends=True, is_gpu_full=True, gpu_lacking=7),
    ):
        assert through(ends, message) == message
    infer = through(ends, infer_of({"image": volume()}))
    assert isinstance(infer, Infer)
    assert infer.run_uid == "2.25.7"
    np.testing.assert_array_equal(infer.volumes["image"].array, volume().array)
    done = through(ends, Done(output=output, seconds=0.25, gpu_memory=0))
    assert isinstance(done, Done)
    assert done.output.result == output.result
    assert done.output.label_map is not None
    np.testing.assert_array_equal(done.output.label_map.array, labels.array)


def test_an_array_in_another_order_in_memory_arrives_right(
    ends: tuple[Channel, Channel],
) -> None:
    array = np.arange(24 * 5, dtype=np.float32).reshape(4, 5, 6).transpose(2, 0, 1)
    np.testing.assert_array_equal(there_and_back(array, np.ndarray), array)


def test_an_empty_array_arrives_empty() -> None:
    empty = np.zeros((0, 3), dtype=np.uint8)
    np.testing.assert_array_equal(there_and_back(empty, np.ndarray), empty, strict=True)


def test_a_pipeline_may_write_into_its_copy_and_nobody_else_sees_it() -> None:
    array = np.zeros(1000, dtype=np.float32)
    received = there_and_back(array, np.ndarray)
    assert isinstance(received, np.ndarray)
    received[:] = 1
    assert array.sum() == 0


def test_nobody_can_change_or_shrink_memory_that_was_sent() -> None:
    descriptor = sealed_memory(np.zeros(1000, dtype=np.float32))
    try:
        with pytest.raises(PermissionError):
            os.write(descriptor, b"x")
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def test_memory_that_is_not_sealed_is_refused() -> None:
    descriptor = os.memfd_create("open", os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, 400)
        head = {"dtype": "<f4", "shape": [100], "descriptor": 0}
        with pytest.raises(ValueError, match="not sealed"):
            unpack(np.ndarray, head, [descriptor])
    finally:
        os.close(descriptor)


def test_memory_smaller_than_its_shape_is_refused() -> None:
    descriptor = sealed_memory(np.zeros(100, dtype=np.float32))
    try:
        head = {"dtype": "<f4", "shape": [101], "descriptor": 0}
        with pytest.raises(ValueError, match="another size"):
            unpack(np.ndarray, head, [descriptor])
    finally:
        os.close(descriptor)


def test_arrays_of_objects_are_refused_both_ways() -> None:
    with pytest.raises(TypeError, match="cannot be sent"):
        pack(np.array([{}], dtype=object), [])
    with pytest.raises(ValueError, match="not allowed"):
        unpack(np.ndarray, {"dtype": "|O", "shape": [1], "values": [1]}, [])


def test_the_closed_end_of_a_channel_is_the_end_of_the_stream(
    ends: tuple[Channel, Channel],
) -> None:
    assert not ends[1].is_hung_up()
    ends[0].close()
    assert ends[1].is_hung_up()
    assert ends[1].receive(timeout=10) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0",
        struct.pack("!II", 10, 0) + b"{}",
        struct.pack("!II", 2, 0) + b"{}",
        struct.pack("!II", 2, 0) + b"xx",
        struct.pack("!II", 2, 1) + b"{}",
        struct.pack("!II", 1 << 31, 0),
        struct.pack("!II", 25, 0) + b'{"kind":"load","body":{}}',
        struct.pack("!II", 27, 0) + b'{"kind":"ready","body":[1]}',
        struct.pack("!II", 36, 0) + b'{"kind":"load","body":{"device":1}}\n',
    ],
)
def test_what_is_no_message_breaks_the_channel_with_a_clear_error(data: bytes) -> None:
    here, there = socket.socketpair()
    with here, Channel(there) as channel:
        here.sendall(data)
        here.shutdown(socket.SHUT_WR)
        with pytest.raises(BrokenChannel):
            channel.receive(timeout=10)


def test_a_message_that_never_ends_is_given_up() -> None:
    here, there = socket.socketpair()
    with here, Channel(there) as channel:
        here.sendall(struct.pack("!II", 100, 0))
        with pytest.raises(BrokenChannel, match="timed out"):
            channel.receive(timeout=0.05)


def test_sending_to_somebody_who_does_not_read_is_given_up(
    ends: tuple[Channel, Channel],
) -> None:
    with pytest.raises(BrokenChannel, match="timed out"):
        ends[0].send(Progress(fraction=0.0, text="x" * (8 << 20)), timeout=0.05)


def test_sending_to_a_closed_end_is_a_broken_channel(ends: tuple[Channel, Channel]) -> None:
    ends[1].close()
    with pytest.raises(BrokenChannel):
        ends[0].send(Load(device="cpu"), timeout=1)


@pytest.mark.parametrize(
    "error",
    [
        InputRefused("a"),
        PermanentPipelineError("b"),
        TransientPipelineError("c"),
        BadInstance("d"),
        ConfigError("e"),
    ],
)
def test_an_error_arrives_as_the_class_that_it_was(error: Exception) -> None:
    received = as_error(failed(error))  # type: ignore[arg-type]
    assert type(received) is type(error)
    assert str(received) == str(error)


def test_an_error_that_does_not_travel_arrives_as_permanent() -> None:
    assert type(as_error(failed(PeerError("x")))) is PermanentPipelineError
    assert type(as_error(Failed(error="SystemExit", text="", ends=True))) is PermanentPipelineError


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_is_left_after_the_arrays_are_gone(ends: tuple[Channel, Channel]) -> None:
    gc.collect()
    before = open_descriptors()
    for _ in range(20):
        through(ends, infer_of({"a": volume(), "b": volume()}))
    gc.collect()
    assert open_descriptors() == before


def test_received_descriptors_are_never_inherited(
    ends: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    flags: list[int] = []

    def spying(hint: object, data: object, descriptors: list[int]) -> object:
        flags.extend(fcntl.fcntl(number, fcntl.F_GETFD) for number in descriptors)
        return unpack(hint, data, descriptors)

    monkeypatch.setattr("pipelines.wire.unpack", spying)
    through(ends, infer_of({"a": volume()}))
    assert flags
    assert all(flag & fcntl.FD_CLOEXEC for flag in flags)


def test_fifty_megabytes_pass(ends: tuple[Channel, Channel]) -> None:
    sent = volume(shape=(50, 512, 512), fill=3.0)
    received: list[Message | None] = []
    reader = threading.Thread(target=lambda: received.append(ends[1].receive(timeout=30)))
    start = time.perf_counter()
    reader.start()
    ends[0].send(infer_of({"image": sent}), timeout=30)
    reader.join()
    print(f"{sent.array.nbytes >> 20} MiB in {1000 * (time.perf_counter() - start):.1f} ms")
    (message,) = received
    assert isinstance(message, Infer)
    np.testing.assert_array_equal(message.volumes["image"].array, sent.array)
