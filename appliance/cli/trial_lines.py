"""What `appliance pipeline check` prints."""

from collections.abc import Iterator, Mapping

from appliance.cli.common import console, printable, show_rows
from appliance.core.quantities import format_size
from appliance.trial.report import About, Ending, FindingLine, ObjectLine, PhaseLine, Report

_TITLE = 12
_PHASES = ("phase", "seconds", "peak memory", "of")
_FINDINGS = ("structure", "side", "measurement", "value", "unit")
_ENDINGS: Mapping[Ending, str] = {
    Ending.GOOD: "good: this folder can run in shadow",
    Ending.REFUSED: "refused: the pipeline says that this study is not what it was made for",
    Ending.FAILED: "failed",
    Ending.NOT_CHOSEN: "",  # the reason says it
    Ending.NOT_RUN: "the folder is in order, and it loads; name a study with --study to run it",
}
FINE = frozenset({Ending.GOOD, Ending.NOT_RUN})


def print_report(report: Report) -> None:
    """Print everything that the check found."""
    _print(*_about(report.about))
    _print(*_study(report))
    if report.phases:
        _print("", _where(report))
        show_rows(map(_phase_row, report.phases), columns=_PHASES, as_json=False)
    if report.findings:
        _print("")
        rows = map(_finding_row, report.findings)
        show_rows(rows, columns=_FINDINGS, as_json=False, below=lambda row: str(row["why"]))
    _print(*_results(report))
    style = "green" if report.ending in FINE else "red"
    text = ": ".join(filter(None, (_ENDINGS[report.ending], report.reason))).rstrip(".")
    console.print(printable(f"\n{text}."), style=style, markup=False, soft_wrap=True)


def _about(about: About) -> Iterator[str]:
    yield f"{about.name} {about.version}: {about.title}"
    yield _line("made by", about.manufacturer)
    yield _line("for", about.intended_use)
    yield _line("status", about.label)
    yield _line("role", about.clinical_role)
    yield _line("kind", about.kind)
    yield _line("folder", f"SHA-256 {about.digest}")
    yield _line("licence", about.licence)
    yield _line("card", about.card)
    for weights in about.weights:
        words = f"{weights.file}: SHA-256 as in the manifest; licence {weights.licence}"
        yield _line("weights", words)
    noun = "structure" if about.outputs == 1 else "structures"
    yield _line("outputs", f"{about.outputs} {noun}, each with its code")
    for text in about.unsaid:
        yield _line("missing", text)


def _study(report: Report) -> Iterator[str]:
    study = report.study
    if study is None:
        return
    yield ""
    yield f"study {study.study_instance_uid}: {study.images} images in {study.series} series"
    for reason in study.reasons:
        yield _line("" if reason.startswith(" ") else "input", reason)
    for name in study.left_out:
        yield _line("left out", name)


def _where(report: Report) -> str:
    if report.device is None:
        return "ran in part"
    if report.gaps:
        could = ", ".join(report.gaps)
        return f"on {report.device}, NOT isolated: on this machine it could {could}"
    return f"on {report.device}, isolated: no network, no writing outside its scratch folder"


def _phase_row(line: PhaseLine) -> Mapping[str, object]:
    size = line.pipeline if line.here is None else line.here
    whose = "the appliance" if line.here is not None else "the pipeline"
    return {
        "phase": line.phase,
        "seconds": f"{line.seconds:.2f}",
        "peak memory": "" if size is None else format_size(size),
        "of": "" if size is None else whose,
    }


def _finding_row(line: FindingLine) -> Mapping[str, object]:
    return {
        "structure": printable(line.name),
        "side": line.side,
        "measurement": printable(f"{line.concept} ({line.concept_code})"),
        "value": "not measured" if line.value is None else f"{line.value:.6g}",
        "unit": line.unit,
        "why": printable(line.not_measured),
    }


def _results(report: Report) -> Iterator[str]:
    yield ""
    for note in report.notes:
        yield _line("note", note)
    for item in report.objects:
        yield _line("object", _object(item))
    for path in report.pictures:
        yield _line("picture", path)
    if report.objects:
        kinds = ", ".join(f"{item.kind} ({format_size(item.size)})" for item in report.objects)
        yield _line("sent", f"nothing. A route with `send` would send {kinds}.")


def _object(item: ObjectLine) -> str:
    where = f", {item.path}" if item.path else ""
    return f"{item.kind}, {format_size(item.size)}, '{item.series_description}'{where}"


def _line(title: str, text: str) -> str:
    return f"    {title:<{_TITLE}}{text}"


def _print(*lines: str) -> None:
    for line in lines:
        console.print(printable(line), markup=False, soft_wrap=True)
