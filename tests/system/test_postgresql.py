"""The whole way with the store on PostgreSQL: every role, from C-STORE to the proof."""

from pathlib import Path

import pytest

from appliance.core.states import DeliveryState, JobState
from tests.appliance import appliance, settings
from tests.counterparts import Orthanc, storescu
from tests.postgres import postgres_server
from tests.system.phantom import BLOCK_ML, study_of
from tests.system.test_whole_way import results_in


def test_a_study_goes_the_whole_way_on_postgresql(
    pacs: Orthanc, tmp_path: Path, phantom: list[Path]
) -> None:
    study = study_of(phantom)
    with postgres_server() as server:
        data = settings(tmp_path, pacs.port) | {"store": {"url": server.url(server.create())}}
        with appliance(tmp_path, data) as site:
            storescu(pacs.port, phantom, called="ORTHANC")
            storescu(site.receiver_port, phantom)
            site.wait_for_deliveries(study, DeliveryState.DELIVERED)
            assert results_in(pacs, study) == ["seg", "sr"]
            (job,) = site.store.jobs.of_study(study)
            assert job.state is JobState.DONE
            (finding,) = site.store.results.findings(job.job_id)
            assert finding.measurements[0].value == pytest.approx(BLOCK_ML)
            assert "0.06" in site.page(study)
            site.store.close()
    assert not (tmp_path / "data/store.db").exists()
