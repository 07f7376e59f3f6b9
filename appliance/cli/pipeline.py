"""`appliance pipeline`: check one, lay out a new one, run one over a cohort, list all versions."""

import json
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from appliance.cli.cohort import print_done, watching
from appliance.cli.common import (
    DEFAULT_CONFIG,
    EXIT_FAILED,
    ConfigOption,
    add_group,
    console,
    errors,
    printable,
)
from appliance.cli.trial_lines import FINE, print_report
from appliance.cli.versions import list_versions
from appliance.trial.cohort import Ended
from appliance.trial.listing import COLUMN, places
from appliance.trial.template import checked_name, lay_out
from appliance.wiring.cohort import CohortOptions, run_cohort
from appliance.wiring.trial import check_pipeline, pipeline_folder
from pipelines.specs import Kind


def _folder(text: str) -> Path:
    folder = pipeline_folder(text)
    if folder is None:
        raise typer.BadParameter(f"{text!r} is neither a folder nor a shipped pipeline")
    return folder


FolderArgument = Annotated[
    Path,
    typer.Argument(
        parser=_folder, metavar="FOLDER", help="A pipeline's folder, or the name of a shipped one."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    text = "Check a pipeline, lay one out, run one over a cohort, list all."
    add_group(app, "pipeline", text, (check_one, new_one, run_many, list_versions))


def check_one(
    folder: FolderArgument,
    *,
    study: Annotated[
        Path | None, typer.Option(help="A folder of DICOM files to run it on.", exists=True)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where pictures and DICOM objects go.", file_okay=False),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:0, …")] = "auto",
    as_json: Annotated[
        Path | None,
        typer.Option("--json", help="Write the report to this file too.", dir_okay=False),
    ] = None,
) -> int:
    """Check a pipeline's folder; run it on a study, sending nothing."""
    with _progress() as tell:
        report = check_pipeline(folder, study, out, device, tell)
    print_report(report)
    if as_json is not None:
        as_json.write_text(json.dumps(report.as_data(), indent=2) + "\n")
    return 0 if report.ending in FINE else EXIT_FAILED


def _name(text: str) -> str:
    try:
        return checked_name(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no name: use a-z, 0-9 and hyphens") from None


def new_one(
    name: Annotated[
        str, typer.Argument(parser=_name, metavar="NAME", help="What the pipeline is called.")
    ],
    *,
    kind: Annotated[Kind, typer.Option(help="How its model is run.")],
    into: Annotated[
        Path, typer.Option(help="The folder in which its folder is made.", file_okay=False)
    ] = Path(),
) -> int:
    """Lay out a pipeline's folder that passes the check."""
    folder = lay_out(name, kind, into)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            console.print(str(path), markup=False, soft_wrap=True)
    command = shlex.join(("appliance", "pipeline", "check", str(folder), "--study", "STUDY"))
    console.print(f"Next: {command}", markup=False, soft_wrap=True)
    return 0


def run_many(
    pipeline: Annotated[str, typer.Argument(help="Its name in the settings, or its folder.")],
    source: Annotated[
        Path, typer.Argument(help="A folder of studies, or a list of folders.", exists=True)
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Needed: a cohort's results are never sent.")
    ] = False,
    out: Annotated[
        Path, typer.Option(help="NAME.csv or NAME.parquet; without an ending, both.")
    ] = Path("cohort"),
    name: Annotated[
        str, typer.Option(help="What the store calls the cohort; without it, as OUT is called.")
    ] = "",
    column: Annotated[str, typer.Option(help="Of a list in CSV: where the folders are.")] = COLUMN,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an earlier run.")] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="With --resume: failed studies once more.")
    ] = False,
) -> int:
    """Run a pipeline over many studies, in shadow; write tables."""
    if not shadow:
        raise typer.BadParameter("a cohort runs in shadow alone: write --shadow")
    if retry and not resume:
        raise typer.BadParameter("--retry belongs to --resume")
    try:
        where = places(source, column)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    options = CohortOptions(
        config=config, pipeline=pipeline, where=where, out=out, name=name, resume=resume,
        retry=retry,
    )  # fmt: skip
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: nothing lives on
    try:
        with watching() as watcher:
            done = run_cohort(options, watcher)
    except KeyboardInterrupt:
        errors.print("stopped; what is settled stays: go on with --resume")
        return EXIT_FAILED
    print_done(done)
    return EXIT_FAILED if done.counts[Ended.FAILED.value] else 0


@contextmanager
def _progress() -> Iterator[Callable[[float, str], None]]:
    """Yield what tells how far a run is: a bar on a terminal, else a line for each phase."""
    if not errors.is_terminal:
        yield _Lines().tell
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=30))
    with Progress(*columns, TimeElapsedColumn(), console=errors, transient=True) as progress:
        bar = progress.add_task("", total=1.0)
        yield lambda done, phase: progress.update(bar, completed=done, description=printable(phase))


class _Lines:
    """Says each phase once."""

    def __init__(self) -> None:
        self._last = ""

    def tell(self, done: float, phase: str) -> None:
        if phase != self._last:
            self._last = phase
            errors.print(f"{done:4.0%} {printable(phase)}", markup=False, soft_wrap=True)
