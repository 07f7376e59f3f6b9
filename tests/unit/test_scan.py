"""The fast way to a header finds what pydicom finds, and tells what is not whole."""

from pathlib import Path
from random import Random

import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from appliance.core.errors import BadInstance
from appliance.core.product import APPLIANCE_DEVICE_UID
from appliance.intake import scan
from appliance.intake.headers import read_header
from appliance.intake.scan import HeaderCache, Scanner
from scp import head
from scp.filemeta import Provenance
from scp.head import Fault, MalformedDataSet
from scp.pixels import pixel_digest
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


def test_whatever_stands_there_a_header_is_read_or_refused(tmp_path: Path) -> None:
    dataset = own()
    dataset.PixelData = encapsulate([b"\xff\x4f" + bytes(40)] * 3)
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    content = write(dataset, tmp_path / "one.dcm").read_bytes()
    start, scanner = start_of(content), Scanner(ASKED)
    dice = Random(7)  # noqa: S311 - the same bytes each time
    refused = 0
    for _ in range(1500):
        broken = bytearray(content)
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(start, len(broken))
            broken[at] = dice.choice((0, 1, 0xFF, 0xFE, dice.randrange(256)))
        for read in (scanner.scan, pixel_digest):
            try:
                read(bytes(broken), start, JPEG2000Lossless)
            except BadInstance:
                refused += 1
    assert refused > 100


def test_a_sequence_longer_than_a_walk_goes_is_refused_where_it_is_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(head, "_MAX_STEPS", 20)
    item = b"\xfe\xff\x00\xe0\0\0\0\0"
    sequence = b"\x18\x00\x01\xa0SQ\0\0\xff\xff\xff\xff" + item * 18 + b"broken"
    content = b"\x08\x00\x16\x00UI\x04\x001.2\0" * 3 + sequence
    with pytest.raises(MalformedDataSet):
        Scanner(ASKED).scan(content, 0, ExplicitVRLittleEndian)


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
