"""The receiver over real sockets, against senders of others."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, MRImageStorage, RLELossless

from appliance.core.log import Event
from scp.checksum import matches
from tests.builders import encapsulated_pdf, mr_series, mr_slices, write
from tests.counterparts import echoscu, orthanc, storescu, wait_until
from tests.receiving import (
    PRIVATE_CLASS,
    Events,
    ExplicitVR,
    association,
    data_set_of,
    receiver,
    rejection,
    send_dataset,
)


def test_echo_is_answered(tmp_path: Path) -> None:
    with receiver(tmp_path) as running:
        echoscu(running.port)


def test_a_series_arrives_bit_by_bit_and_is_announced(tmp_path: Path, events: Events) -> None:
    paths = mr_series(tmp_path / "mr", slices=3, rows=300, columns=300)
    with receiver(tmp_path) as running:
        storescu(running.port, paths)

    assert len(running.sink.instances) == 3
    by_uid = {instance.sop_instance_uid: instance for instance in running.sink.instances}
    for path in paths:
        instance = by_uid[dcmread(path, stop_before_pixels=True).SOPInstanceUID]
        sent = data_set_of(path)
        assert data_set_of(running.spool.path(instance.spool_name)) == sent
        assert matches(instance.checksum, sent)
        assert instance == running.spool.read(instance.spool_name)
    assert len(events(Event.INSTANCE_RECEIVED)) == 3
    assert list(running.spool.root.glob("tmp/*/*")) == []


def test_orthanc_can_send_compressed_images_as_they_are(tmp_path: Path) -> None:
    (dataset,) = mr_slices(slices=1, rows=64, columns=64)
    dataset.compress(RLELossless)
    path = write(dataset, tmp_path / "one.dcm")
    with receiver(tmp_path) as running:
        with orthanc(tmp_path, modalities={"APPLIANCE": running.port}) as pacs:
            pacs.post("/instances", path.read_bytes())
            pacs.post("/modalities/APPLIANCE/store", {"Resources": pacs.instances()})
        instance = running.only()

    assert instance.transfer_syntax_uid == RLELossless
    assert instance.calling_ae_title == "ORTHANC"
    kept, sent = dcmread(running.spool.path(instance.spool_name)), dcmread(path)
    assert kept.PixelData == sent.PixelData


def test_the_same_instance_twice_is_answered_with_success_and_kept_once(
    tmp_path: Path, events: Events
) -> None:
    (dataset,) = mr_slices(slices=1)
    with receiver(tmp_path) as running, association(running.port) as made:
        assert send_dataset(made, dataset) == 0x0000
        assert send_dataset(made, dataset) == 0x0000

    assert len(running.spool.new_entries()) == 1
    assert len(running.sink.instances) == 1
    assert len(events(Event.INSTANCE_DUPLICATE)) == 1


@pytest.mark.parametrize(
    "case",
    [
        ("STORESCU", "SOMEBODY", {}, (1, 1, 7)),
        ("STRANGER", "APPLIANCE", {}, (1, 1, 3)),
        ("FARAWAY", "APPLIANCE", {}, (1, 1, 1)),
        ("STORESCU", "APPLIANCE", {"max_associations": 0}, (2, 3, 2)),
        ("STORESCU", "APPLIANCE", {"max_associations_per_peer": 0}, (2, 3, 2)),
    ],
)
def test_who_may_not_associate_is_told_why(
    tmp_path: Path,
    events: Events,
    case: tuple[str, str, Mapping[str, int], tuple[int, int, int]],
) -> None:
    calling, called, limits, expected = case
    with receiver(tmp_path, **limits) as running:
        assert rejection(running.port, calling=calling, called=called) == expected
        if not limits:
            echoscu(running.port)  # and nobody else is disturbed
    (event,) = events(Event.ASSOCIATION_REJECTED)
    assert event["calling_ae_title"] == calling


def test_unknown_peers_may_send_where_the_site_allows_it(tmp_path: Path) -> None:
    with receiver(tmp_path, accept_unknown_peers=True) as running:
        echoscu(running.port, calling="STRANGER")


def test_a_peer_that_left_makes_room_for_the_next(tmp_path: Path) -> None:
    with receiver(tmp_path, max_associations=1) as running:
        with association(running.port) as made:
            assert made.is_established
            assert rejection(running.port) == (2, 3, 2)
        wait_until(lambda: not running.receiver.connections)
        echoscu(running.port)


def test_every_storage_class_is_taken_and_private_ones_where_the_peer_may(tmp_path: Path) -> None:
    contexts = [(PRIVATE_CLASS, [ExplicitVR]), ("1.2.840.10008.5.1.4.1.1.9999", [ExplicitVR])]
    with receiver(tmp_path) as running:
        with association(running.port, *contexts) as made:
            assert len(made.accepted_contexts) == 2
            (dataset,) = mr_slices(slices=1, SOPClassUID=PRIVATE_CLASS)
            assert send_dataset(made, dataset) == 0x0000
        with association(running.port, *contexts, calling="STANDARD") as made:
            assert [str(c.abstract_syntax) for c in made.rejected_contexts] == [PRIVATE_CLASS]
        pdf = encapsulated_pdf()
        with association(running.port, (pdf.SOPClassUID, [ExplicitVR])) as made:
            assert send_dataset(made, pdf) == 0x0000


def test_deflated_data_sets_are_not_offered(tmp_path: Path) -> None:
    with receiver(tmp_path) as running:
        both = (MRImageStorage, [DeflatedExplicitVRLittleEndian, ExplicitVR])
        with association(running.port, both) as made:
            assert made.accepted_contexts[0].transfer_syntax == [ExplicitVR]
        only = (MRImageStorage, [DeflatedExplicitVRLittleEndian])
        with association(running.port, only) as made:
            assert made.accepted_contexts == []
