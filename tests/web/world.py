"""A site for web tests: a real store, a phantom with a marker, real SEG objects, a real server."""

import hashlib
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from pydicom import dcmread

from appliance.core.model import (
    Code,
    Finding,
    Job,
    JobInput,
    Measurement,
    PipelineResult,
    Priority,
    Reason,
    ReceivedInstance,
    Region,
    ResultObject,
    RouteDecision,
    Segment,
    SelectedInput,
    Side,
)
from appliance.core.uids import uid_from_name
from feedback.auth import ACCOUNT_COOKIE
from feedback.forms import parse_form
from feedback.options import WebOptions
from feedback.passwords import hash_password
from feedback.server import WebServer
from feedback.site import WebSources
from feedback.tokens import hash_of, new_session_token
from feedback.web import create_app
from feedback.whereabouts import InSpool
from pipelines.base import PipelineOutput
from pipelines.encode.context import EncodedObject
from pipelines.encode.encoder import encode
from pipelines.quality import FLAG
from pipelines.series import read_volume
from pipelines.volume import LabelMap
from results_store.commands import CompletedRun, NewRun
from results_store.facts import InstanceFacts
from results_store.jobs import SendTo
from results_store.migrate import migrate
from results_store.options import StoreOptions
from results_store.store import Store, open_store
from tests.builders import mr_series
from tests.web.lookout import SteppedClock, lookout
from tests.web.versions import context_of, version

ROOT = Path(__file__).parents[2]
START = SteppedClock().now()
KEY = bytes(range(32))
PASSWORD = "correct horse battery"
VOLUME = Code(value="118565006", scheme="SCT", meaning="Volume")
MILLILITRE = Code(value="mL", scheme="UCUM", meaning="milliliter")
NAME = "Block"
TISSUE = Code(value="85756007", scheme="SCT", meaning="Tissue")
LEASE = timedelta(minutes=1)

# The phantom, axial: (slice, rows, columns). Columns grow to the patient's left, rows to the back.
SHAPE = (12, 64, 48)
SPACING = (1.0, 1.5)  # mm between rows, between columns: not square, on purpose
MARKER = (slice(8, 10), slice(10, 20), slice(32, 44))  # in front, patient's left, towards the head
SPOT = (slice(2, 3), slice(40, 46), slice(6, 12))  # behind, patient's right, towards the feet
MARKER_COLOR = (255, 0, 0)
SPOT_COLOR = (0, 0, 255)


def phantom(folder: Path, **attributes: Any) -> list[Path]:
    """Write the series of the phantom."""
    voxels = np.full(SHAPE, 200, np.uint16)
    voxels[MARKER] = 900
    voxels[SPOT] = 600
    values = {"WindowCenter": 500, "WindowWidth": 1000} | attributes
    return mr_series(folder, pixels=voxels, spacing=SPACING, **values)


@dataclass
class World:
    """Everything behind the pages, filled through the store's own API."""

    folder: Path
    store: Store
    clock: SteppedClock
    files: dict[str, Path] = field(default_factory=dict)
    in_spool: dict[str, InSpool] = field(default_factory=dict)

    def receive(self, paths: Sequence[Path]) -> str:
        """Index files as the intake would and return their study."""
        for path in paths:
            header = dcmread(path, stop_before_pixels=True)
            name = hashlib.sha256(path.read_bytes()).hexdigest()
            self.files[name] = path
            self.store.studies.index(received_as(name, header, self.clock), facts_of(header))
        return str(header.StudyInstanceUID)

    def decide(self, study: str, *, matched: bool = True, route: str = "brain volumes") -> Any:
        series = self.store.studies.instances(study)[0].series_instance_uid
        reasons = (
            Reason(condition="Modality is MR", found="MR", holds=True, series_instance_uid=series),
            Reason(
                condition="SliceThickness is at most 1.5",
                found="1.0" if matched else "6.0",
                holds=matched,
                series_instance_uid=series,
            ),
        )
        chosen = SelectedInput(
            pipeline="bright-volume",
            input_name="image",
            series_instance_uid=series,
            sop_instance_uids=(),
            why="the only series that fits",
        )
        return RouteDecision(
            route=route,
            matched=matched,
            reasons=reasons,
            inputs=(chosen,) if matched else (),
            summary="One series fits." if matched else "No series is thin enough.",
        )

    def queue(
        self, study: str, *, send: bool = True, route: str = "brain volumes", **changes: Any
    ) -> Job:
        instances = self.store.studies.instances(study)
        run = NewRun(
            pipeline="bright-volume",
            pipeline_version="1.0.0",
            pipeline_digest="d" * 64,
            priority=Priority.ROUTINE,
            inputs=tuple(
                JobInput(
                    input_name="image",
                    sop_instance_uid=item.sop_instance_uid,
                    series_instance_uid=item.series_instance_uid,
                    spool_name=item.spool_name,
                )
                for item in instances
            ),
            send=(SendTo(destination="pacs", objects=("sr", "seg")),) if send else (),
            feedback_form="brain-volumes",
            run_after=self.clock.now(),
        )
        decision = self.decide(study, route=route)
        (job,) = self.store.commands.submit_runs(
            study, decision, "quiet", (replace(run, **changes),), self.clock.now()
        )
        return job

    def claim(self) -> Job:
        job = self.store.jobs.claim("w1", ("bright-volume",), LEASE, self.clock.now())
        assert job is not None
        return job

    def finish(self, job: Job | None = None, gaps: tuple[str, ...] | None = ()) -> Job:
        """Complete a claimed job with what the phantom's pipeline would say."""
        job = job or self.claim()
        paths = [self.files[item.spool_name] for item in job.inputs]
        volume = read_volume(paths)
        labels = np.zeros(volume.array.shape, np.uint8)
        labels[volume.array == 900] = 1
        labels[volume.array == 600] = 2
        series = volume.series_instance_uid
        counts = [int((labels == number).sum()) * volume.voxel_ml for number in (1, 2)]
        result = PipelineResult(
            findings=(
                _finding(job, 1, Side.LEFT, counts[0], series),
                _finding(job, 2, Side.RIGHT, counts[1], series),
            ),
            segments=(
                segment_of(job, 1, Side.LEFT, MARKER_COLOR),
                segment_of(job, 2, Side.RIGHT, SPOT_COLOR),
            ),
            features=(),
            notes=(
                "The head was set upright before it was measured.",
                f"{FLAG} contrast agent is given; none is needed.",
            ),
        )
        output = PipelineOutput(result=result, label_map=LabelMap(array=labels, input_name="image"))
        encoded = encode(context_of(job), paths, volume, output)
        return self.complete(job, encoded, result, gaps)

    def complete(
        self,
        job: Job,
        encoded: Sequence[EncodedObject],
        result: PipelineResult,
        gaps: tuple[str, ...] | None = (),
    ) -> Job:
        """Write the objects and the result as a worker does."""
        done = CompletedRun(
            result=result,
            objects=tuple(self._write(job, item) for item in encoded),
            device="cpu",
            seconds={"read": 0.4, "infer": 2.5},
            patient_key="k" * 64,
            gaps=gaps,
        )
        self.store.commands.complete_run(job.claim(), done, self.clock.now())
        return self.store.jobs.get(job.job_id)

    def forget_images(self) -> None:
        with self.store.database.write() as connection:  # noted as retention notes it
            connection.exec_driver_sql("UPDATE instance SET deleted_at = indexed_at")
        self.files.clear()

    def sources(self) -> WebSources:
        forms = ROOT / "config/forms"
        return WebSources(
            store=self.store,
            clock=self.clock,
            image_path=self.files.get,
            results_folder=self.folder / "results",
            patient_key_of_id=key_of_id,
            pipelines=("bright-volume",),
            forms={p.stem: parse_form(p.read_text(), p.name) for p in forms.glob("*.yaml")},
            lookout=lookout(self.in_spool, self.clock),
        )

    def _write(self, job: Job, item: Any) -> ResultObject:
        path = f"{job.job_id}/{item.kind}.dcm"
        file = self.folder / "results" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(item.data)
        return ResultObject(
            kind=item.kind,
            sop_class_uid=item.sop_class_uid,
            sop_instance_uid=item.sop_instance_uid,
            series_instance_uid=item.series_instance_uid,
            series_description=item.series_description,
            path=path,
            sha256=hashlib.sha256(item.data).hexdigest(),
            size=len(item.data),
        )


def key_of_id(patient_id: str, issuer: str) -> str | None:
    return hashlib.sha256(f"{issuer}|{patient_id}".encode()).hexdigest() if patient_id else None


@dataclass(frozen=True, kw_only=True)
class Template:
    """What worlds are copied from: making each anew would cost a second a test."""

    folder: Path
    files: dict[str, Path]
    study: str


def make_template(folder: Path, images: list[Path], *, finished: bool) -> Template:
    """Return a world with one account and the study of `images`, with or without a result."""
    url = f"sqlite:///{folder}/store.db"
    migrate(StoreOptions(url=url))
    clock = SteppedClock()
    store = open_store(StoreOptions(url=url), clock)
    store.accounts.create("reader", hash_password(PASSWORD), "reader")
    store.registry.note(version(), None, clock.now())
    world = World(folder=folder, store=store, clock=clock)
    study = world.receive(images)
    if finished:
        world.queue(study)
        world.finish()
    store.close()
    return Template(folder=folder, files=world.files, study=study)


@contextmanager
def made_world(folder: Path, template: Template) -> Iterator[World]:
    shutil.copytree(template.folder, folder, dirs_exist_ok=True)
    clock = SteppedClock()
    store = open_store(StoreOptions(url=f"sqlite:///{folder}/store.db"), clock)
    yield World(folder=folder, store=store, clock=clock, files=dict(template.files))
    store.close()


def web_options(**changes: Any) -> WebOptions:
    values: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 0,
        "base_url": "http://127.0.0.1",
        "institution": "Example Hospital",
        "link_key": KEY,
    }
    return WebOptions(**(values | changes))


@contextmanager
def served(world: World, **changes: Any) -> Iterator[str]:
    """Serve the world's pages on loopback and yield their address."""
    options = web_options(**changes)
    server = WebServer(options, create_app(options, world.sources()))
    server.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.stop()
    assert not [t for t in threading.enumerate() if t.name == "web"]


def hidden(page: str, name: str) -> str:
    """Return the value of a hidden field."""
    before, _, rest = page.partition(f'name="{name}" value="')
    assert rest, f"no field {name} in: {before[-300:]}"
    return rest.partition('"')[0]


def log_in(client: httpx.Client, password: str = PASSWORD, **fields: str) -> httpx.Response:
    page = client.get("/login").text
    data = {"account": "reader", "password": password, "csrf": hidden(page, "csrf"), "next": "/"}
    return client.post("/login", data=data | fields)


def enter(client: httpx.Client, world: World) -> None:
    """Give the client the reader's session, without the time that a password takes."""
    token = new_session_token()
    expires_at = world.clock.now() + timedelta(hours=10)
    world.store.accounts.open_session(hash_of(token), "reader", None, expires_at)
    client.cookies.set(ACCOUNT_COOKIE, token)


def received_as(name: str, header: Any, clock: SteppedClock) -> ReceivedInstance:
    """Return a file of this header as it lies in the spool under this name."""
    return ReceivedInstance(
        spool_name=name,
        study_instance_uid=str(header.StudyInstanceUID),
        series_instance_uid=str(header.SeriesInstanceUID),
        sop_instance_uid=str(header.SOPInstanceUID),
        sop_class_uid=str(header.SOPClassUID),
        transfer_syntax_uid=str(header.file_meta.TransferSyntaxUID),
        calling_ae_title="MR01",
        called_ae_title="APPLIANCE",
        peer_address="127.0.0.1",
        received_at=clock.now(),
        size=1000,
        checksum=name,
    )


def facts_of(header: Any) -> InstanceFacts:
    """Return what the index is told of the file."""
    return InstanceFacts(
        modality=str(header.Modality),
        number_of_frames=int(header.get("NumberOfFrames", 1)),
        accession_number=str(header.AccessionNumber) or None,
        study_date=str(header.StudyDate),
        study_time=str(header.StudyTime),
        patient_key=key_of_id(str(header.PatientID), str(header.get("IssuerOfPatientID", ""))),
        is_own=False,
    )


def _finding(job: Job, number: int, side: Side, ml: float, series: str) -> Finding:
    return Finding(
        name=NAME,
        structure=TISSUE,
        side=side,
        measurements=(Measurement(concept=VOLUME, value=ml, unit=MILLILITRE),),
        region=Region(segment_number=number, series_instance_uid=series),
        tracking_uid=uid_from_name(job.run_uid, NAME, side),
    )


def segment_of(job: Job, number: int, side: Side, color: tuple[int, int, int]) -> Segment:
    """Return what is said of a marked part."""
    return Segment(
        number=number,
        name=NAME,
        structure=TISSUE,
        category=TISSUE,
        side=side,
        tracking_uid=uid_from_name(job.run_uid, NAME, side),
        color=color,
    )
