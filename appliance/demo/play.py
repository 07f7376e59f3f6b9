"""The demo from first to last: set up, send, follow, show, serve."""

import json
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from appliance.core.errors import ApplianceError
from appliance.core.states import JobState, RouteState
from appliance.demo import report, sender
from appliance.demo.follow import StudyNow, broken_promises, look
from appliance.demo.pacs import AE_TITLE as PACS_AE_TITLE
from appliance.demo.pacs import Held
from appliance.demo.stage import Stage, is_open, set_up, work_folder
from appliance.wiring.readers import AccountRole, add_account, make_link, review_page
from appliance.wiring.site import Site, open_site

_POLL_SECONDS = 0.25
_START_SECONDS = 120
_HEAD = "mr-t1-mprage-head"
ACCOUNT = "reader"
APPLIANCE_AE_TITLE = "APPLIANCE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asked for."""

    folder: Path | None
    once: bool
    json: Path | None
    keep: Path | None


def study_folder(asked: Path | None) -> Path:
    """Return the folder asked for, by its path or as the name of a study that is shipped.

    Nothing asked for is the head MR. Raises ApplianceError where there is none.
    """
    shipped = Path(str(files("appliance.demo") / "data"))
    if asked is None:
        return shipped / _HEAD
    found = next((path for path in (asked, shipped / asked) if path.is_dir()), None)
    if found is None:
        names = ", ".join(sorted(path.name for path in shipped.iterdir() if path.is_dir()))
        raise ApplianceError(
            f"{asked} is not a folder; name one with DICOM files in it, or a study that is "
            f"shipped: {names}"
        )
    return found


def play(options: Options, console: Console) -> int:
    """Run the demo; return 0 only if everything that the routes promised arrived."""
    folder = study_folder(options.folder)
    files_to_send, problems = sender.find_instances(folder)
    if not files_to_send:
        raise ApplianceError(f"{folder} holds no DICOM file that can be sent")
    named: list[Path] = []  # what the JSON names outlives a scratch folder
    with work_folder(options.keep, named) as scratch, set_up(scratch) as stage:
        console.print(f"Working in {scratch}. Log: {stage.log}", markup=False, soft_wrap=True)
        _await(lambda: is_open(stage.receiver_port), stage, seconds=_START_SECONDS)
        with open_site(stage.config) as site:
            found = _send_and_follow(stage, site, files_to_send, console)
            document = _document(found, site, problems)
            if options.json is not None:
                named += [Path(item.path) for item in document.objects]
                options.json.write_text(json.dumps(document.as_data(), indent=2) + "\n")
            _print(document, console)
            if not options.once:
                _invite(site, document.review_url, console)
        if not options.once:
            _serve(console, stage)
    return 0 if not found.broken else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    studies: tuple[StudyNow, ...]
    arrived: tuple[Held, ...]
    problems: tuple[str, ...]
    broken: tuple[str, ...]  # promises


def _send_and_follow(
    stage: Stage, site: Site, outgoing: tuple[sender.Outgoing, ...], console: Console
) -> _Found:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        # The images are in the PACS already, as they would be: it is asked for counts and names.
        problems = [s for _, s in _send(outgoing, stage.pacs.port, PACS_AE_TITLE, progress) if s]
        before = {held.sop_instance_uid for held in stage.pacs.held}
        answers = _send(outgoing, stage.receiver_port, APPLIANCE_AE_TITLE, progress)
        problems += [sentence for _, sentence in answers if sentence]
        uids = dict.fromkeys(file.study_instance_uid for file, refused in answers if not refused)
        if not uids:
            raise ApplianceError("nothing was accepted:\n" + "\n".join(problems))
        bars = {uid: progress.add_task("waiting for the last image", total=1.0) for uid in uids}
        _await(lambda: _update(site, bars, progress), stage)
    arrived = tuple(h for h in stage.pacs.held if h.sop_instance_uid not in before)
    studies = tuple(_look(site, uid) for uid in uids)
    broken = tuple(sentence for now in studies for sentence in broken_promises(now, arrived))
    return _Found(studies=studies, arrived=arrived, problems=(*problems, *broken), broken=broken)


def _send(
    outgoing: tuple[sender.Outgoing, ...], port: int, to: str, progress: Progress
) -> list[tuple[sender.Outgoing, str]]:
    bar = progress.add_task(f"sending to {to}", total=len(outgoing))
    return list(
        sender.send(
            outgoing, port=port, to=to, progress=lambda sent: progress.update(bar, completed=sent)
        )
    )


def _update(site: Site, bars: dict[str, TaskID], progress: Progress) -> bool:
    over = True
    for uid, bar in bars.items():
        now = _look(site, uid)
        over = over and now.over
        progress.update(bar, description=_describe(now), completed=_share(now))
    return over


def _look(site: Site, uid: str) -> StudyNow:
    return look(site.store, uid, len(site.settings.routes))


def _share(now: StudyNow) -> float:
    if now.over:
        return 1.0
    return sum(job.progress for job in now.jobs) / len(now.jobs) if now.jobs else 0.0


def _describe(now: StudyNow) -> str:
    running = [job for job in now.jobs if job.state is JobState.RUNNING]
    if running:
        return f"{running[0].pipeline}: {running[0].phase or 'starting'}"
    if now.over:
        return "done"
    waiting = [reason for _, state, reason in now.routes if state is RouteState.OPEN and reason]
    return waiting[0][:60] if waiting else "waiting"


def _invite(site: Site, url: str, console: Console) -> None:
    password = secrets.token_urlsafe(9)
    add_account(site, ACCOUNT, password, AccountRole.ADMIN)
    console.print(f"Review page: {url}", markup=False, soft_wrap=True)
    console.print(f"Or sign in at {review_page(site)} as {ACCOUNT} with {password}", markup=False)


def _document(found: _Found, site: Site, problems: tuple[str, ...]) -> report.Report:
    first = found.studies[0].study_instance_uid
    jobs = found.studies[0].jobs
    return report.Report(
        study_instance_uid=first,
        decisions=tuple(
            report.decision_row(stored.decision) for stored in site.store.decisions.of_study(first)
        ),
        jobs=tuple(report.job_row(job) for job in jobs),
        findings=tuple(
            row
            for job in jobs
            for row in report.finding_rows(job.pipeline, site.store.results.findings(job.job_id))
        ),
        objects=tuple(
            report.object_row(held) for held in found.arrived if held.study_instance_uid == first
        ),
        review_url=make_link(site, first),
        problems=(*problems, *found.problems),
    )


def _print(document: report.Report, console: Console) -> None:
    for decision in document.decisions:
        verdict = "matched" if decision.matched else "did not match"
        console.print(f"\nRoute {decision.rule!r} {verdict}:", style="bold", markup=False)
        for reason in decision.reasons:
            console.print(f"  {reason}", markup=False, soft_wrap=True)
    for job in document.jobs:
        phases = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in job.seconds.items())
        console.print(
            f"\n{job.pipeline} {job.version}: {job.state} on {job.device} ({phases})", markup=False
        )
    if document.findings:
        headings = ("structure", "side", "measured", "value", "unit")
        table = Table(*headings, box=None, pad_edge=False)
        for row in document.findings:
            value = "not measured" if row.value is None else f"{row.value:.2f}"
            cells = (row.name, row.side or "", row.measured, value, row.unit)
            table.add_row(*map(escape, cells))
        console.print(table)
        for reason in dict.fromkeys(row.not_measured for row in document.findings):
            if reason:
                console.print(f"Not measured: {reason}", markup=False, soft_wrap=True)
    console.print(f"\nArrived in the PACS: {len(document.objects)} objects")
    for item in document.objects:
        console.print(f"  {item.series_description}: {item.path}", markup=False, soft_wrap=True)
    for problem in document.problems:
        console.print(f"problem: {problem}", style="red", markup=False, soft_wrap=True)


def _serve(console: Console, stage: Stage) -> None:
    console.print("Serving until Ctrl-C.")
    try:
        while True:
            stage.require_alive()
            time.sleep(1)
    except KeyboardInterrupt:
        console.print("Stopping.")


def _await(holds: Callable[[], bool], stage: Stage, *, seconds: float = math.inf) -> None:
    started = time.monotonic()
    while not holds():
        stage.require_alive()
        if time.monotonic() - started > seconds:
            raise ApplianceError(f"no sign of life within {seconds} s; see {stage.log}")
        time.sleep(_POLL_SECONDS)
