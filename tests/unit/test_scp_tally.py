"""Counters per caller: of all processes together, bounded, and not lost at a restart."""

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.core.model import Door
from appliance.wiring.site import open_site
from scp import tally
from scp.deposit import Claimed, Depot, Source
from scp.spool import Spool
from scp.tally import ACCEPTED, OTHERS, Tally, read_tallies
from tests.appliance import settings, write
from tests.receiving import Told
from tests.unit.test_scp_spool import sample


class Watch:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 2, 10, 15, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    def pass_by(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def watch() -> Watch:
    return Watch()


def seen(folder: Path) -> dict[str, dict[str, int]]:
    return {t.calling_ae_title: dict(t.counts) for t in read_tallies(folder)}


def test_what_several_processes_count_is_read_as_one(tmp_path: Path, watch: Watch) -> None:
    first, second = Tally(tmp_path, watch), Tally(tmp_path, watch)
    first.count("CT01", "10.0.0.1", ACCEPTED)
    first.count("CT01", "10.0.0.1", "stored", 500)
    watch.pass_by(5)
    second.count("CT01", "10.0.0.1", "stored", 700)
    first.flush()
    second.flush()
    (found,) = read_tallies(tmp_path)
    assert (found.calling_ae_title, found.peer_address) == ("CT01", "10.0.0.1")
    assert found.counts == {ACCEPTED: 1, "stored": 2}
    assert (found.size, found.last_seen) == (1200, watch.now())


def test_nothing_was_counted_where_nobody_ever_received(tmp_path: Path) -> None:
    assert read_tallies(tmp_path / "none") == ()


def test_a_flush_writes_at_most_once_a_second(tmp_path: Path, watch: Watch) -> None:
    counters = Tally(tmp_path, watch)
    for _ in range(3):
        counters.count("CT01", "10.0.0.1", "stored")
        counters.flush()
    assert seen(tmp_path) == {"CT01": {"stored": 1}}
    watch.pass_by(1)
    counters.flush()
    assert seen(tmp_path) == {"CT01": {"stored": 3}}


def test_restarts_lose_and_double_nothing(tmp_path: Path, watch: Watch) -> None:
    for _ in range(3):
        counters = Tally(tmp_path, watch)
        counters.count("CT01", "10.0.0.1", "stored", 10)
        counters.close()
        assert len(list(tmp_path.glob("*-*.json"))) == 1, "earlier ones are in the total"
    assert seen(tmp_path) == {"CT01": {"stored": 3}}


def test_what_a_killed_process_wrote_is_kept(tmp_path: Path, watch: Watch) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from appliance.core.clock import SystemClock
from scp.tally import Tally
counters = Tally(Path(sys.argv[1]), SystemClock())
counters.count("CT01", "10.0.0.1", "stored", 10)
counters.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=30)
    assert seen(tmp_path) == {"CT01": {"stored": 1}}
    Tally(tmp_path, watch).close()
    assert not list(tmp_path.glob("*-*.json"))
    assert seen(tmp_path) == {"CT01": {"stored": 1}}


def test_a_crash_while_summing_up_counts_nothing_twice(
    tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters = Tally(tmp_path, watch)
    counters.count("CT01", "10.0.0.1", "stored")
    counters.close()

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "unlink", crash)  # the total is written, nothing is removed yet
        Tally(tmp_path, watch)
    assert (tmp_path / "total.json").exists()
    assert seen(tmp_path) == {"CT01": {"stored": 1}}
    Tally(tmp_path, watch).close()
    assert seen(tmp_path) == {"CT01": {"stored": 1}}


def test_invented_ae_titles_are_summed_under_one_name_and_hide_nobody(
    tmp_path: Path, watch: Watch
) -> None:
    counters = Tally(tmp_path, watch, known=["CT01"])
    for number in range(1000):
        counters.count(f"EVIL{number}", "10.0.0.66", "refused")
    for number in range(1000):
        counters.count("CT01", f"2001:db8::{number:x}", "stored")
    counters.close()
    for _ in range(2):  # as it was counted, and summed up by the next process
        tallies = read_tallies(tmp_path)
        assert len(tallies) < 400
        by_name = {(t.calling_ae_title, t.peer_address): t.counts for t in tallies}
        assert by_name[OTHERS, OTHERS]["refused"] > 900
        assert by_name["CT01", OTHERS]["stored"] > 700
        assert sum(c.get("stored", 0) for c in by_name.values()) == 1000
        Tally(tmp_path, watch, known=["CT01"]).close()


def test_a_title_is_kept_short_and_printable(tmp_path: Path, watch: Watch) -> None:
    counters = Tally(tmp_path, watch)
    counters.count("A\x1b[31m\n" + "B" * 100, "10.0.0.1", "refused")
    counters.close()
    (found,) = read_tallies(tmp_path)
    assert found.calling_ae_title == "A?[31m?BBBBBBBBB"


def test_threads_count_together(tmp_path: Path, watch: Watch) -> None:
    counters = Tally(tmp_path, watch)

    def work() -> None:
        for _ in range(2000):
            counters.count("CT01", "10.0.0.1", "stored", 1)
            counters.flush()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counters.close()
    (found,) = read_tallies(tmp_path)
    assert (found.counts["stored"], found.size) == (8000, 8000)


def test_a_full_disk_stops_nobody_and_is_made_up_for_later(
    tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters = Tally(tmp_path, watch)
    counters.count("CT01", "10.0.0.1", "stored")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tally, "_replace", full)
        counters.flush()
    watch.pass_by(1)
    counters.close()
    with monkeypatch.context() as patch:
        patch.setattr(tally, "_replace", full)
        Tally(tmp_path, watch).close()
    assert seen(tmp_path) == {"CT01": {"stored": 1}}
    Tally(tmp_path, watch).close()
    assert seen(tmp_path) == {"CT01": {"stored": 1}}
    assert (tmp_path / "total.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"peers": 1}', '{"peers": [[1]], "summed": []}'])
def test_a_damaged_file_counts_as_none(tmp_path: Path, watch: Watch, text: str) -> None:
    (tmp_path / "total.json").write_text(text)
    counters = Tally(tmp_path, watch)
    counters.count("CT01", "10.0.0.1", "stored")
    counters.close()
    Tally(tmp_path, watch).close()
    assert seen(tmp_path) == {"CT01": {"stored": 1}}


def test_what_comes_by_other_doors_is_counted_too(tmp_path: Path, watch: Watch) -> None:
    data, provenance = sample()
    counters = Tally(tmp_path / "tallies", watch)
    spool = Spool(tmp_path / "spool")
    depot = Depot(spool, Told(), watch, largest=10**6, refuse_below=0, tally=counters)
    source = Source(
        door=Door.PUSHED, calling_ae_title="WEB", called_ae_title="APPLIANCE", peer_address="::1"
    )
    uids = (provenance.sop_class_uid, provenance.sop_instance_uid)
    for claimed in (uids, uids, (uids[0], "1.2.99")):
        deposit = depot.begin(
            source,
            Claimed(
                sop_class_uid=claimed[0],
                sop_instance_uid=claimed[1],
                transfer_syntax_uid=provenance.transfer_syntax_uid,
            ),
        )
        deposit.write(data)
        deposit.finish()
    counters.close()
    (found,) = read_tallies(tmp_path / "tallies")
    assert (found.calling_ae_title, found.size) == ("WEB", len(data))
    assert found.counts == {"stored": 1, "duplicate": 1, "instance-mismatch": 1}


def test_the_counters_of_a_site_are_written_while_it_runs_and_when_it_ends(tmp_path: Path) -> None:
    config = write(tmp_path, settings(tmp_path, 104))
    with open_site(config) as site:
        site.flush()
        assert not site.folders.tallies.exists(), "who counts nothing writes nothing"
        site.tally.count("WEB", "::1", "stored")
        site.flush()
        assert seen(site.folders.tallies) == {"WEB": {"stored": 1}}
        site.tally.count("WEB", "::1", "stored")
    assert seen(site.folders.tallies) == {"WEB": {"stored": 2}}
