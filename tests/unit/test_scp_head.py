"""A data set's identity is found by walking over its lengths."""

import struct
from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from appliance.core.errors import BadInstance
from scp.head import Fault, Identity, MalformedDataSet, identify, verify_structure
from tests.builders import mr_slices


def encoded(dataset: Dataset, *, implicit: bool = False, little: bool = True) -> bytes:
    stream = BytesIO()
    dcmwrite(stream, dataset, implicit_vr=implicit, little_endian=little)
    return stream.getvalue()


def sample(**attributes: object) -> Dataset:
    (dataset,) = mr_slices(
        slices=1,
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.4",
        SOPInstanceUID="1.2.3.4.5",
        **attributes,
    )
    del dataset.file_meta
    return dataset


EXPECTED = Identity(
    study_instance_uid="1.2.3",
    series_instance_uid="1.2.3.4",
    sop_instance_uid="1.2.3.4.5",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
)


@pytest.mark.parametrize(
    ("syntax", "implicit", "little"),
    [
        (ImplicitVRLittleEndian, True, True),
        (ExplicitVRLittleEndian, False, True),
        (ExplicitVRBigEndian, False, False),
    ],
)
def test_the_uids_are_found_in_each_encoding(syntax: str, *, implicit: bool, little: bool) -> None:
    data = encoded(sample(), implicit=implicit, little=little)

    assert identify(data, 0, syntax) == EXPECTED
    assert identify(b"before" + data, 6, syntax) == EXPECTED


def nested(depth: int) -> Dataset:
    inner = Dataset()
    inner.StudyInstanceUID = "9.9"
    for _ in range(depth):
        outer = Dataset()
        outer.ReferencedSeriesSequence = Sequence([inner])
        outer["ReferencedSeriesSequence"].is_undefined_length = True
        inner.is_undefined_length_sequence_item = True
        inner = outer
    return inner


@pytest.mark.parametrize("implicit", [False, True])
def test_uids_inside_sequences_are_not_taken_for_the_instances_own(*, implicit: bool) -> None:
    dataset = sample()
    dataset.ReferencedSeriesSequence = nested(5).ReferencedSeriesSequence
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian

    assert identify(encoded(dataset, implicit=implicit), 0, syntax) == EXPECTED


def test_sequences_nested_too_deeply_are_malformed() -> None:
    opening = struct.pack("<HH2sHI", 0x0008, 0x1115, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)

    with pytest.raises(MalformedDataSet, match="nested"):
        identify((opening + item) * 5000, 0, ExplicitVRLittleEndian)


def test_unknown_elements_of_undefined_length_hold_implicit_vr() -> None:
    opening = struct.pack("<HH2sHI", 0x0009, 0x1001, b"UN", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    inside = struct.pack("<HHI", 0x0009, 0x1002, 2) + b"ab"
    ends = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    head = encoded(sample())
    cut = head.index(struct.pack("<HH", 0x0010, 0x0010))

    data = head[:cut] + opening + item + inside + ends + head[cut:]

    assert identify(data, 0, ExplicitVRLittleEndian) == EXPECTED


def test_encapsulated_pixel_data_is_walked_over() -> None:
    dataset = sample()
    head = encoded(dataset)
    cut = head.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
    pixels += struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    pixels += struct.pack("<HHI", 0xFFFE, 0xE000, 4) + b"jpeg"
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)

    verify_structure(head[:cut] + pixels + end, 0, JPEGBaseline8Bit)
    with pytest.raises(MalformedDataSet) as caught:
        verify_structure(head[:cut] + pixels, 0, JPEGBaseline8Bit)
    assert caught.value.fault is Fault.TRUNCATED


def test_whatever_is_cut_off_after_the_sop_class_is_never_called_a_foreign_format() -> None:
    data = encoded(sample())
    sop_class_end = data.index(b"1.2.840.10008.5.1.4.1.1.4") + 26

    for length in range(sop_class_end, len(data)):
        for look in (identify, verify_structure):
            try:
                look(data[:length], 0, ExplicitVRLittleEndian)
            except MalformedDataSet as fault:
                assert fault.fault is Fault.TRUNCATED
    with pytest.raises(MalformedDataSet):
        verify_structure(data[:-1], 0, ExplicitVRLittleEndian)


def test_what_is_cut_off_after_the_uids_is_still_known() -> None:
    assert identify(encoded(sample())[:-1], 0, ExplicitVRLittleEndian) == EXPECTED


def test_a_file_meta_group_in_a_data_set_is_malformed() -> None:
    group = struct.pack("<HH2sHI", 2, 0, b"UL", 4, 0)
    with pytest.raises(MalformedDataSet) as caught:
        identify(group + encoded(sample()), 0, ExplicitVRLittleEndian)
    assert caught.value.fault is Fault.NOT_DICOM


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_text_is_not_dicom(syntax: str) -> None:
    with pytest.raises(MalformedDataSet) as caught:
        identify(b"Dear colleague, please find attached. " * 20, 0, syntax)
    assert caught.value.fault is Fault.NOT_DICOM


def test_a_missing_uid_is_empty() -> None:
    dataset = sample()
    del dataset.SOPInstanceUID

    assert identify(encoded(dataset), 0, ExplicitVRLittleEndian).sop_instance_uid == ""


@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_but_bad_instance(data: bytes) -> None:
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian):
        for look in (identify, verify_structure):
            with suppress(BadInstance):
                look(data, 0, syntax)
