"""The counterparts of the tests start, answer and end."""

from pathlib import Path

from tests.builders import mr_series
from tests.counterparts import dcmdump, echoscu, findscu, listens, orthanc, storescp, storescu


def test_orthanc_takes_what_storescu_sends_and_is_gone_afterwards(tmp_path: Path) -> None:
    paths = mr_series(tmp_path / "mr", slices=2)
    with orthanc(tmp_path, modalities={"STORESCU": 104, "ECHOSCU": 104, "FINDSCU": 104}) as pacs:
        echoscu(pacs.port, called="ORTHANC")
        storescu(pacs.port, paths, called="ORTHANC")
        assert len(pacs.instances()) == 2
        answer = findscu(pacs.port, "QueryRetrieveLevel=STUDY", "StudyInstanceUID=", "Modality=")
        assert "StudyInstanceUID" in answer
    assert not listens(pacs.port)


def test_storescp_writes_what_it_gets(tmp_path: Path) -> None:
    paths = mr_series(tmp_path / "mr", slices=1)
    with storescp(tmp_path / "received") as port:
        storescu(port, paths)
    (received,) = (tmp_path / "received").iterdir()
    assert "MRImageStorage" in dcmdump(received)
