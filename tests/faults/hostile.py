"""Plays the whole corpus against one receiver while a good modality goes on sending to it."""

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import corpus_associate, corpus_data, corpus_message
from tests.faults.corpus import Attack, play
from tests.faults.datasets import Instance, study_of
from tests.faults.site import Site
from tests.faults.truth import KEPT, SET_ASIDE, SpoolReader
from tests.faults.wire import Broken, send_all

AT_ONCE = 8
SILENCE = "2 s"  # the receiver's network_timeout here
PATIENCE = 12.0  # seconds after which an attack that was not answered counts as held open
GROWTH = 64 * 1024**2  # bytes by which the receiver may grow from before to after all attacks
_SERVED_IN = 15.0  # seconds, on a machine that does other things too
LIMITS = {
    "network_timeout": SILENCE,
    "max_message": "8 MB",
    "max_associations": 64,
    "max_associations_per_peer": 64,
}


def whole_corpus() -> list[Attack]:
    """Return every attack."""
    good = corpus_data.Maker(2).good()
    return [
        *corpus_associate.all_attacks(),
        *corpus_message.all_attacks(good),
        *corpus_data.all_attacks(),
    ]


@dataclass(slots=True)
class Damage:
    """What should not have happened."""

    played: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    misfits: list[str] = field(default_factory=list)
    harmed: list[str] = field(default_factory=list)  # what the good modality noticed
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)
    growth: int = 0
    escaped: list[str] = field(default_factory=list)
    silent_quarantine: list[str] = field(default_factory=list)


def attack(site: Site, attacks: Sequence[Attack]) -> Damage:
    """Play the attacks on a site made with `LIMITS`; return what was damaged."""
    damage = Damage(played=len(attacks))
    before, files = site.resident(), _files(site.folder)
    starts = {name: role.starts for name, role in site.roles.items()}
    modality = _Modality(site.port)
    modality.start()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda one: play(one, site.port, PATIENCE), attacks))
    good = modality.stop()
    kept = list(good)
    for one, answer in zip(attacks, answers, strict=True):
        damage.answers[answer.split(":", maxsplit=1)[0][:20]] += 1
        if not one.fits(answer):
            damage.misfits.append(f"{one.name}: {answer}, not {' or '.join(one.expects)}")
        if answer == "status 0000" and one.instance is not None:
            kept.append(one.instance)
    damage.harmed = modality.harms
    _look_for_losses(site, kept, damage)
    damage.growth = site.resident() - before
    damage.crashed = [
        f"{name} was started again" for name, count in starts.items()
        if site.roles[name].starts != count
    ]  # fmt: skip
    damage.crashed += site.strange_lines()
    damage.escaped = _escaped(site, files)
    return damage


def _look_for_losses(site: Site, kept: Sequence[Instance], damage: Damage) -> None:
    reader = SpoolReader(site.spool, (*KEPT, SET_ASIDE))
    finding = reader.wait_for(kept)
    damage.lost, damage.doubled = list(finding.lost), list(finding.doubled)
    deadline = time.monotonic() + PATIENCE
    while (silent := _without_reason(site)) and time.monotonic() < deadline:
        time.sleep(0.05)  # one that is just being set aside
    damage.silent_quarantine = silent


def _without_reason(site: Site) -> list[str]:
    found = []
    for path in (site.spool / SET_ASIDE).glob("*.dcm"):
        reason = path.with_suffix(".txt")
        if not reason.exists() or not reason.read_text().strip():
            found.append(path.name)
    return found


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_relative_to(folder / "data")}


def _escaped(site: Site, before: set[Path]) -> list[str]:
    """Return files outside the data folder that were not there before, or have the bait's name."""
    new = _files(site.folder) - before
    baits = [Path(folder) / "escaped-from-the-spool" for folder in ("/", "/tmp", Path.cwd())]
    inside = list((site.folder / "data").rglob("*escaped*"))
    return [str(path) for path in (*new, *inside, *filter(Path.exists, baits))]


class _Modality(threading.Thread):
    """Sends good studies all the time, under another name."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port
        self._over = threading.Event()
        self._sent: list[Instance] = []
        self.harms: list[str] = []

    def run(self) -> None:
        rng = random.Random(99)
        while not self._over.is_set():
            study = study_of(rng, 3)
            began = time.monotonic()
            try:
                statuses = send_all(self._port, study, calling="GOOD")
            except Broken as error:
                self.harms.append(f"broken off: {error}")
                continue
            if statuses != [0, 0, 0]:
                self.harms.append(f"refused: {statuses}")
            if time.monotonic() - began > _SERVED_IN:
                self.harms.append(f"kept waiting for {_SERVED_IN} s")
            self._sent += study
            self._over.wait(0.1)

    def stop(self) -> Sequence[Instance]:
        """Return what was sent and taken."""
        self._over.set()
        self.join()
        return self._sent
