"""`appliance status`: how everything is, or where one study is. The values come ready made."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from appliance.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    console,
    errors,
    print_json,
    printable,
)
from appliance.core.quantities import format_size
from appliance.wiring.lookout import system_status, where_is
from appliance.wiring.site import open_site
from feedback.status import Status
from feedback.system import PeerLine, SystemStatus
from feedback.whereabouts import DeliveryLine, RouteLine, RunLine, SeriesLine, Whereabouts

_TITLE = 20


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(status)


def status(
    study: Annotated[
        str, typer.Argument(help="A Study Instance UID or an accession number, exactly.")
    ] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    as_json: JsonOption = False,
) -> int:
    """Print how everything is; or where one study is, and why."""
    with open_site(config) as site:
        zone = ZoneInfo(site.settings.appliance.time_zone)
        found = where_is(site, study) if study else ()
        system = None if study else system_status(site)
    if as_json:
        print_json(asdict(system) if system else [asdict(one) for one in found])
    elif system:
        _print(system_lines(system, zone))
    else:
        for one in found:
            _print(study_lines(one, zone))
    if study and not found:
        errors.print(f"nothing of study {study} was received", markup=False, soft_wrap=True)
        return 1
    return 0


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def system_lines(system: SystemStatus, zone: ZoneInfo) -> Iterator[str]:
    """Yield how everything is."""
    disk = system.disk
    yield _line("time", _moment(system.now, zone))
    yield _line("roles", ", ".join(f"{r.role}{'' if r.runs else ' (off)'}" for r in system.roles))
    yield _line("disk", f"{format_size(disk.free)} of {format_size(disk.size)} free; {disk.words}")
    yield _line("not yet indexed", str(system.not_yet_indexed))
    yield _line("quarantined", str(system.quarantined))
    yield _line("messages waiting", str(system.notices))
    yield _line("open studies", str(system.open_studies))
    yield _line("routes", _counts(system.routes))
    yield _line("jobs", _counts(system.jobs))
    yield _line("deliveries", _counts(system.deliveries))
    yield _line("paused", ", ".join(system.paused) or "nothing")
    for one in system.pipelines:
        yield _line("pipeline", f"{one.name} {one.version}: {one.words}")
    for text in (*system.stranded, *system.last_problems):
        yield _line("problem", text)
    for peer in system.peers:
        yield from _peer(peer, zone)


def _peer(peer: PeerLine, zone: ZoneInfo) -> Iterator[str]:
    calls = _so_many(peer.associations, "association")
    yield _line(
        "caller",
        f"{peer.calling_ae_title} ({peer.peer_address}): {calls}, "
        f"{peer.stored} stored, {peer.duplicates} had already, {format_size(peer.size)}, "
        f"last seen {_moment(peer.last_seen, zone)}",
    )
    for why, number in peer.rejected.items():
        yield _line("", f"{_so_many(number, 'association')} turned away: {why}")
    for why, number in peer.refused.items():
        yield _line("", f"{_so_many(number, 'image')} refused: {why}")
    for what, number in peer.others.items():
        yield _line("", f"{number} {what}")


def _so_many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def study_lines(found: Whereabouts, zone: ZoneInfo) -> Iterator[str]:
    """Yield where one study is."""
    accession = f", accession {found.accession_number}" if found.accession_number else ""
    yield f"study {found.study_instance_uid}{accession}"
    yield _line("now", _status(found.status))
    for text in found.doubts:
        yield _line("to look at", text)
    for series in found.series:
        yield _line("received", _series(series, zone))
    if found.not_yet_indexed:
        yield _line("received", f"{found.not_yet_indexed} images not yet looked at")
    for stray in found.quarantined:
        sender = f"{stray.calling_ae_title} ({stray.peer_address})"
        yield _line("quarantine", f"{stray.sop_instance_uid} from {sender}: {stray.reason}")
    for fetch in found.fetches:
        of_all = "" if fetch.images is None else f" of {fetch.images}"
        text = f"from {fetch.node} for {fetch.asked_by}, {_moment(fetch.asked_at, zone)}: "
        yield _line("fetched", f"{text}{_status(fetch.status)}; {fetch.came}{of_all} images came")
    for told in found.announced:
        text = f"{told.words} by {told.calling_ae_title}, {_moment(told.announced_at, zone)}: "
        yield _line("announced", f"{text}{told.listed} images listed, {told.here} of them here")
    for route in found.routes:
        yield _line("route", _route(route, zone))
    for run in found.runs:
        yield _line("run", _run(run, zone))
    for delivery in found.deliveries:
        yield _line("sent", _delivery(delivery, zone))


def _series(line: SeriesLine, zone: ZoneInfo) -> str:
    notes = {
        "own results": line.own,
        "other versions": line.other_versions,
        "cut off": line.cut_off,
        "deleted": line.images - line.kept,
    }
    extra = "".join(f", {number} {what}" for what, number in notes.items() if number)
    return (
        f"{line.images} {line.modality} images{extra} from {', '.join(line.senders)}, "
        f"{_moment(line.first_received_at, zone)} to {_moment(line.last_received_at, zone)}, "
        f"series {line.series_instance_uid}"
    )


def _route(line: RouteLine, zone: ZoneInfo) -> str:
    text = f"{line.route}: {_status(line.status)}"
    if line.closed_at:
        text += f" (decided {_moment(line.closed_at, zone)}: {line.closed_by})"
    if line.late:
        text += f"; late images: {line.late}"
    if line.quiet_until:
        text += f"; quiet time ends {_moment(line.quiet_until, zone)}"
    if line.deadline:
        text += f"; waits until {_moment(line.deadline, zone)} at the longest"
    return text


def _run(line: RunLine, zone: ZoneInfo) -> str:
    text = (
        f"job {line.job_id}, {line.pipeline} {line.pipeline_version}, run {line.run_number}, "
        f"attempt {line.attempt}: {_status(line.status)}"
    )
    ended = f"; ended {_moment(line.finished_at, zone)}" if line.finished_at else ""
    again = f"; again {_moment(line.next_attempt_at, zone)}" if line.next_attempt_at else ""
    shadow = f"; shadow: {line.shadow}" if line.shadow else ""
    return text + ended + again + shadow


def _delivery(line: DeliveryLine, zone: ZoneInfo) -> str:
    text = f"delivery {line.delivery_id}, attempt {line.attempt}: {_status(line.status)}"
    if line.delivered_at:
        return f"{text} {_moment(line.delivered_at, zone)}: {line.proof}"
    again = f"; again {_moment(line.next_attempt_at, zone)}" if line.next_attempt_at else ""
    return text + again


def _status(status: Status) -> str:
    return f"{status.words}: {status.why}" if status.why else status.words


def _counts(by_state: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {state}" for state, number in by_state.items()) or "none"


def _moment(when: datetime | None, zone: ZoneInfo) -> str:
    return f"{when.astimezone(zone):%Y-%m-%d %H:%M:%S}" if when else ""


def _line(title: str, text: str) -> str:
    return printable(f"{title:<{_TITLE}}{text}").replace("\n", " ")
