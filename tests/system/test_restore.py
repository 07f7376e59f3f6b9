"""The runbook's backup and restore, done as it says, with the folder lost in between."""

import shutil
from pathlib import Path

import requests

from appliance.core.states import DeliveryState
from tests.appliance import appliance, settings
from tests.counterparts import Orthanc, storescu, wait_until
from tests.system.phantom import phantom_series, study_of
from tests.system.test_whole_way import results_in

NO_SPOOL = ("results", "secrets")  # with the store: all that the runbook says to save


def test_a_restored_appliance_goes_on_where_the_backup_was_made(
    pacs: Orthanc, tmp_path: Path
) -> None:
    before, after = phantom_series(tmp_path / "before"), phantom_series(tmp_path / "after")
    saved, data = tmp_path / "saved", settings(tmp_path, pacs.port)
    home = Path(data["appliance"]["data_dir"])
    with appliance(tmp_path, data) as site:
        storescu(site.receiver_port, before)
        site.wait_for_deliveries(study_of(before), DeliveryState.DELIVERED)
        link = site.command("link", study_of(before)).strip()
        saved.mkdir()
        site.command("backup", str(saved / "store.db"))
        # What happens between the backup and the bad day.
        storescu(site.receiver_port, after)
        site.wait_for_deliveries(study_of(after), DeliveryState.DELIVERED)
        kept = site.store.jobs.of_study(study_of(before))
    for name in NO_SPOOL:
        shutil.copytree(home / name, saved / name)
    shutil.rmtree(home)
    shutil.copytree(saved, home)

    with appliance(tmp_path, data) as site:
        assert site.store.jobs.list() == kept
        page = requests.get(link, timeout=30)
        assert (page.status_code, study_of(before) in page.text) == (200, True)
        # A result that the store has forgotten comes back from the PACS.
        results = sorted((home / "results").rglob("*.dcm"))
        storescu(site.receiver_port, results, options=["-R"])
        wait_until(lambda: len(site.events("instance.own")) == 4)
        assert site.store.jobs.of_study(study_of(after)) == ()
        # And the work goes on.
        third = phantom_series(tmp_path / "third")
        storescu(site.receiver_port, third)
        site.wait_for_deliveries(study_of(third), DeliveryState.DELIVERED)
    assert results_in(pacs, study_of(third)) == ["seg", "sr"]
