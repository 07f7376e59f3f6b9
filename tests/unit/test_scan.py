"""The fast way to a header finds what pydicom finds, and tells what is not whole."""

from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from appliance.core.errors import BadInstance
from appliance.core.product import APPLIANCE_DEVICE_UID
from appliance.intake import scan
from appliance.intake.headers import read_header
from appliance.intake.scan import HeaderCache, Scanner
from scp.filemeta import Provenance
from scp.head import Fault, MalformedDataSet
from scp.spool import Spool
from tests.builders import mr_slices, write
from tests.receiving import encoded
from tests.store.world import START
from tests.unit.test_headers import PRIVATE, enhanced

ASKED = frozenset(
    {"EchoTime", "FlipAngle", "ContrastBolusAgent", "PatientAge", "ImagePositionPatient", PRIVATE}
)


def classic() -> Dataset:
    dataset = mr_slices(slices=1)[0]
    dataset.add_new((0x0019, 0x33), "LO", "SIEMENS MR HEADER ")
    dataset.add_new((0x0019, 0x330C), "IS", "800")
    dataset.ScanOptions = ""
    return dataset


def in_another_alphabet() -> Dataset:
    dataset = classic()
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    dataset.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    return dataset


def with_contrast() -> Dataset:
    dataset, agent = classic(), Dataset()
    agent.CodeValue, agent.CodingSchemeDesignator, agent.CodeMeaning = "1", "SRT", "Gadolinium"
    dataset.ContrastBolusAgentSequence = Sequence([agent])
    return dataset


def own() -> Dataset:
    dataset, device = classic(), Dataset()
    device.DeviceUID = APPLIANCE_DEVICE_UID
    dataset.ContributingEquipmentSequence = Sequence([Dataset(), device])
    return dataset


def start_of(content: bytes) -> int:
    return 144 + int.from_bytes(content[140:144], "little")


def both(dataset: Dataset, path: Path, syntax: UID) -> tuple[object, object]:
    dataset.file_meta.TransferSyntaxUID = syntax
    write(dataset, path)
    content = path.read_bytes()
    return Scanner(ASKED).scan(content, start_of(content), syntax), read_header(path, ASKED)


@pytest.mark.parametrize(
    "made", [classic, in_another_alphabet, with_contrast, own, lambda: enhanced(FlipAngle=[9, 9])]
)
@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_both_ways_to_a_header_say_the_same(made: object, syntax: UID, tmp_path: Path) -> None:
    dataset = made()  # type: ignore[operator]
    fast, slow = both(dataset, tmp_path / "one.dcm", syntax)
    assert fast == slow


def test_values_that_break_their_vr_are_as_unreadable_as_they_are_to_pydicom(
    tmp_path: Path,
) -> None:
    path = write(classic(), tmp_path / "one.dcm")
    content = bytearray(path.read_bytes())
    for element in (b"\x18\x00\x50\x00DS", b"\x20\x00\x13\x00IS"):  # SliceThickness, number
        at = content.index(element)
        length = int.from_bytes(content[at + 6 : at + 8], "little")
        content[at + 8 : at + 8 + length] = b"x" * length
    path.write_bytes(bytes(content))
    fast = Scanner(ASKED).scan(bytes(content), start_of(content), ExplicitVRLittleEndian)
    assert fast == read_header(path, ASKED)
    assert fast.summary.attributes["SliceThickness"] == ("unreadable",)


def test_a_header_of_what_is_not_whole_is_refused_with_the_reason(tmp_path: Path) -> None:
    content = write(classic(), tmp_path / "one.dcm").read_bytes()
    start = start_of(content)
    scanner = Scanner(ASKED)
    for keep in range(start + 200, len(content), 37):
        with pytest.raises(MalformedDataSet) as caught:
            scanner.scan(content[:keep], start, ExplicitVRLittleEndian)
        assert caught.value.fault is Fault.TRUNCATED
    assert scanner.scan(content, start, ExplicitVRLittleEndian)


def test_a_header_without_a_usable_uid_is_bad(tmp_path: Path) -> None:
    dataset = classic()
    del dataset.SeriesInstanceUID
    content = write(dataset, tmp_path / "one.dcm").read_bytes()
    with pytest.raises(BadInstance, match="SeriesInstanceUID is missing"):
        Scanner(ASKED).scan(content, start_of(content), ExplicitVRLittleEndian)


def test_what_the_images_of_a_series_share_is_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def counted(dataset: Dataset, name: str) -> object:
        decoded.append(name)
        return values_of(dataset, name)

    values_of = scan.values_of
    monkeypatch.setattr(scan, "values_of", counted)
    scanner = Scanner(ASKED)
    for number, dataset in enumerate(mr_slices(slices=3)):
        content = write(dataset, tmp_path / f"{number}.dcm").read_bytes()
        header = scanner.scan(content, start_of(content), ExplicitVRLittleEndian)
        assert header.summary.attributes["InstanceNumber"] == (number + 1,)
    assert decoded.count("Modality") == decoded.count("PatientName") == 1
    assert decoded.count("ImagePositionPatient") == 3


def test_the_same_bytes_in_another_character_set_are_other_letters(tmp_path: Path) -> None:
    scanner = Scanner({"PatientComments"})
    found = []
    for character_set in ("ISO_IR 100", "ISO_IR 101"):
        dataset = classic()
        dataset.SpecificCharacterSet = character_set
        dataset.add_new("PatientComments", "LT", b"\xe6\xf8\xb1 ")
        content = write(dataset, tmp_path / "one.dcm").read_bytes()
        header = scanner.scan(content, start_of(content), ExplicitVRLittleEndian)
        found.append(header.summary.attributes["PatientComments"])
    assert found == [("æø±",), ("ćřą",)]


def test_the_cache_reads_a_file_once_and_forgets_the_least_lately_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "spool")
    names = [put(spool, dataset) for dataset in mr_slices(slices=3)]
    reads: list[str] = []
    take = HeaderCache.take

    def counted(cache: HeaderCache, file: scan.SpoolFile) -> scan.Header:
        reads.append(file.received.spool_name)
        return take(cache, file)

    monkeypatch.setattr(HeaderCache, "take", counted)
    cache = HeaderCache((), capacity=2)
    for index in (0, 1, 0, 2, 0, 1):
        cache.read(names[index], spool)
    assert reads == [names[0], names[1], names[2], names[1]]
    spool.remove(names[1])
    with pytest.raises(BadInstance, match="not in the spool"):
        cache.read(names[1], spool)


def put(spool: Spool, dataset: Dataset) -> str:
    """Put the data set into the spool; return its name there."""
    incoming = spool.writer(
        Provenance(
            sop_class_uid=dataset.SOPClassUID,
            sop_instance_uid=dataset.SOPInstanceUID,
            transfer_syntax_uid=dataset.file_meta.TransferSyntaxUID,
            calling_ae_title="MR01",
            called_ae_title="APPLIANCE",
            peer_address="127.0.0.1",
            received_at=START,
        )
    )
    incoming.write(encoded(dataset))
    return incoming.commit(incoming.identity(), START)[0].spool_name
