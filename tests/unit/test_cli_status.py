"""`appliance status`: how everything is, and where one study is, from store, spool and counters."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from appliance.cli.main import run
from appliance.core.clock import SystemClock
from appliance.core.model import ReceivedInstance
from appliance.core.ports import Role
from appliance.service import WakeupListener, is_listening
from appliance.wiring.site import Site, open_site
from results_store.announcements import Announced, Announcement, Kind
from results_store.fetches import Way
from scp.association import Refusal
from scp.filemeta import Provenance
from scp.status import Outcome
from scp.tally import ACCEPTED, Tally
from tests.appliance import settings, write
from tests.builders import mr_slices
from tests.store import world as rows

STUDY, OTHER = "1.2.7", "1.2.8"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write(tmp_path, settings(tmp_path, 104))


def put(site: Site, study: str, number: int) -> ReceivedInstance:
    (dataset,) = mr_slices(
        slices=1,
        SOPInstanceUID=f"{study}.{number}",
        study_instance_uid=study,
        series_instance_uid=f"{study}.1",
        frame_of_reference_uid="1.7",
    )
    provenance = Provenance(
        sop_class_uid=dataset.SOPClassUID,
        sop_instance_uid=dataset.SOPInstanceUID,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        calling_ae_title="MR01",
        called_ae_title="APPLIANCE",
        peer_address="10.1.2.3",
        received_at=site.clock.now(),
    )
    del dataset.file_meta
    stream = BytesIO()
    dcmwrite(stream, dataset, implicit_vr=False, little_endian=True)
    writer = site.spool.writer(provenance)
    writer.write(stream.getvalue())
    return writer.commit(writer.identity(), site.clock.now())[0]


def index(site: Site, instance: ReceivedInstance) -> None:
    site.store.studies.index(instance, rows.facts(accession_number="A77"))
    site.spool.adopt(instance.spool_name)
    site.spool.finish(instance.spool_name)


@pytest.fixture
def filled(config: Path) -> Path:
    """One image indexed, one waiting, one in quarantine; a study of which nothing is of use."""
    with open_site(config) as site:
        index(site, put(site, STUDY, 1))
        put(site, STUDY, 2)
        site.spool.quarantine(put(site, STUDY, 3).spool_name, "the pixels are missing")
        site.spool.quarantine(put(site, OTHER, 1).spool_name, "it is\n\x1b[2Jwrong")
        counters = Tally(site.folders.tallies, SystemClock(), known=["MR01"])
        counters.count("MR01", "10.1.2.3", ACCEPTED)
        counters.count("MR01", "10.1.2.3", Outcome.STORED, 2_000_000)
        counters.count("MR01", "10.1.2.3", Outcome.NO_ROOM)
        counters.count("STRANGER", "10.9.9.9", Refusal.CALLING_AE_TITLE)
        counters.close()
    return config


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run([*arguments]) == code
    return capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(said(capsys, *arguments, "--json"))


def test_the_whole_is_told_with_counters_per_caller(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, "status", "-c", str(filled))
    assert "MR01 (10.1.2.3): 1 association, 1 stored, 0 had already, 2 MB" in text
    assert "1 image refused: no room on the disk; send again later" in text
    assert "1 association turned away: calling AE title is not known" in text
    assert "receive (off), orchestrate (off)" in text
    whole = as_json(capsys, "status", "-c", str(filled))
    assert (whole["not_yet_indexed"], whole["quarantined"], whole["open_studies"]) == (1, 2, 1)
    assert [peer["calling_ae_title"] for peer in whole["peers"]] == ["MR01", "STRANGER"]
    assert whole["peers"][1]["rejected"] == {"calling AE title is not known": 1}
    assert whole["roles"][0] == {"role": "receive", "runs": False}


@pytest.mark.parametrize("asked", [STUDY, "A77"])
def test_a_study_is_found_by_its_uid_or_its_accession_number(
    filled: Path, capsys: pytest.CaptureFixture[str], asked: str
) -> None:
    text = said(capsys, "status", asked, "-c", str(filled))
    assert text.startswith(f"study {STUDY}, accession A77\n")
    assert "1 MR images from MR01 (10.1.2.3)" in text
    assert "1 images not yet looked at" in text
    assert f"{STUDY}.3 from MR01 (10.1.2.3): the pixels are missing" in text
    (found,) = as_json(capsys, "status", asked, "-c", str(filled))
    assert found["status"]["words"] == "Received; not looked at yet"
    assert found["not_yet_indexed"] == 1


def test_what_was_fetched_and_announced_is_told(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_site(filled) as site:
        site.store.fetches.begin(STUDY, "pacs", Way.GET, asked_by="rule nightly", instances=7)
        site.store.announcements.begin_step(
            Announcement(
                kind=Kind.MPPS,
                sop_instance_uid="1.2.3",
                study_instance_uid=STUDY,
                state=Announced.COMPLETED,
                reason="",
                calling_ae_title="MR01",
                listed={f"{STUDY}.1": frozenset({f"{STUDY}.1", f"{STUDY}.9"})},
                announced_at=site.clock.now(),
            )
        )
    text = said(capsys, "status", STUDY, "-c", str(filled))
    assert "from pacs for rule nightly" in text
    assert "Being fetched; 0 of 7 images came" in text
    assert "procedure step completed by MR01" in text
    assert "2 images listed, 1 of them here" in text


def test_what_came_cut_off_is_told_as_that(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_site(filled) as site:
        site.store.studies.note_cut_off(put(site, STUDY, 4))
    text = said(capsys, "status", STUDY, "-c", str(filled))
    assert "1 MR images, 1 cut off from MR01" in text
    assert "an image came cut off, and not whole since" in text


def test_a_study_of_which_nothing_could_be_used_is_found_with_the_reason(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, "status", OTHER, "-c", str(filled))
    assert "Nothing of it can be used: it is  [2Jwrong" in text


@pytest.mark.parametrize("asked", ["1.2.9", "nobody", "' or 1=1 --"])
def test_a_study_that_never_came_is_an_exit_code(
    filled: Path, capsys: pytest.CaptureFixture[str], asked: str
) -> None:
    assert run(["status", asked, "-c", str(filled)]) == 1
    assert f"nothing of study {asked} was received" in capsys.readouterr().err


def test_a_role_that_can_be_woken_runs(tmp_path: Path) -> None:
    assert not is_listening(tmp_path, Role.WORK)
    assert not is_listening(tmp_path / "none", Role.WORK)
    listener = WakeupListener(tmp_path, Role.WORK)
    assert is_listening(tmp_path, Role.WORK)
    assert not is_listening(tmp_path, Role.WEB)
    listener.close()
    assert not is_listening(tmp_path, Role.WORK), "the socket's file alone is nobody"
