"""`appliance pipeline check`: one pipeline, one study, the worker's own way, and nothing sent."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from pathlib import Path

from appliance.core.clock import Clock
from appliance.core.errors import BadInstance, InputRefused, PipelineError
from appliance.core.model import ObjectKind
from appliance.core.uids import uid_from_name
from appliance.intake.folder import Folder, study_from_folder
from appliance.jobs.local import LocalExecutor
from appliance.jobs.phases import run_context
from appliance.jobs.reasons import in_words
from appliance.trial.choose import Choice, attributes_of, choose
from appliance.trial.memory import Peak, PeakMemory
from appliance.trial.montage import Caption, montage
from appliance.trial.report import (
    Ending,
    ObjectLine,
    PhaseLine,
    Report,
    StudyLine,
    finding_lines,
)
from appliance.trial.subject import Subject, about
from pipelines.encode import EncodedObject, RunContext
from pipelines.segmentation import Segmentation, read_segmentation
from pipelines.volume import Volume

Tell = Callable[[float, str], None]

_HERE = frozenset({"read", "encode"})  # phases of this process; the others are the pipeline's
_WORST_EXCUSES = (PipelineError, BadInstance, OSError)
_MOST_LEFT_OUT = 5


class Check:
    """One check. `tell` hears how far it is, 0 … 1, and what it does."""

    def __init__(
        self, subject: Subject, executor: LocalExecutor, clock: Clock, out: Path | None, tell: Tell
    ) -> None:
        self._subject = subject
        self._executor = executor
        self._clock = clock
        self._out = out
        self._tell = tell
        self._seconds: dict[str, float] = {}
        self._memory = PeakMemory()

    def load(self) -> Report:
        """Return what came of loading the pipeline, where there is no study to run it on.

        Raises ConfigError where it cannot be loaded as it was asked for.
        """
        report = Report(about=about(self._subject), ending=Ending.NOT_RUN)
        with self._memory:
            self._enter(0.0, "load")
            try:
                loaded = self._executor.load(self._subject.options, self._subject.digest)
            except PipelineError as error:
                return replace(report, ending=Ending.FAILED, reason=str(error))
        self._seconds["load"] = loaded.seconds
        return replace(report, device=loaded.device, gaps=loaded.gaps, phases=self._phases())

    def run(self, folder: Path) -> Report:
        """Return what came of the first study in `folder` on which the pipeline runs.

        Raises ConfigError where the pipeline cannot be loaded as it was asked for.
        """
        known = about(self._subject)
        found = study_from_folder(folder, attributes_of(self._subject.manifest))
        if not found.studies:
            reason = "; ".join(f"{name}: {why}" for name, why in found.problems[:_MOST_LEFT_OUT])
            return Report(
                about=known, ending=Ending.NOT_CHOSEN, reason=f"{folder} has no image. {reason}"
            )
        choices = [choose(self._subject.manifest, study, found) for study in found.studies]
        choice = next((one for one in choices if one.runs), choices[0])
        report = Report(about=known, ending=Ending.GOOD, study=_study_line(choice, found))
        if not choice.runs:
            return replace(report, ending=Ending.NOT_CHOSEN, reason=choice.decision.summary)
        with self._memory:
            try:
                report = self._run(choice, report)
            except _WORST_EXCUSES as error:
                refused = isinstance(error, InputRefused)
                report = replace(
                    report,
                    ending=Ending.REFUSED if refused else Ending.FAILED,
                    reason=in_words(error, error.__traceback__),
                )
        return replace(report, phases=self._phases())

    def _run(self, choice: Choice, report: Report) -> Report:
        subject = self._subject
        uid = uid_from_name("check", subject.digest, choice.study_instance_uid)
        phases = subject.phases(
            uid, choice.files, self._executor, self._clock, self._enter, self._seconds
        )
        volumes = phases.read()
        outcome = phases.infer(volumes, lambda: False)
        assert outcome is not None  # noqa: S101, nothing cancels it
        result = outcome.output.result
        report = replace(
            report,
            device=outcome.device,
            gaps=outcome.gaps,
            findings=finding_lines(result.findings),
            notes=result.notes,
        )
        objects = phases.encode(self._context(uid), volumes, outcome.output)
        lines = self._write(objects)
        label_map = outcome.output.label_map
        marked = None if label_map is None else label_map.input_name
        pictures = self._draw(phases.files, volumes, marked, lines)
        return replace(report, objects=lines, pictures=pictures)

    def _context(self, run_uid: str) -> RunContext:
        return run_context(
            self._subject.manifest,
            digest=self._subject.digest,
            run_uid=run_uid,
            created_at=self._clock.now(),
            time_zone=UTC,
            device_serial="check",
        )

    # -- what stays ---------------------------------------------------------------------

    def _write(self, objects: tuple[EncodedObject, ...]) -> tuple[ObjectLine, ...]:
        lines = []
        for place, encoded in enumerate(objects, 1):
            path = ""
            if self._out is not None:
                self._out.mkdir(parents=True, exist_ok=True)
                target = self._out / f"{place}-{encoded.kind}.dcm"
                target.write_bytes(encoded.data)
                path = str(target)
            lines.append(
                ObjectLine(
                    kind=str(encoded.kind),
                    series_description=encoded.series_description,
                    size=len(encoded.data),
                    path=path,
                )
            )
        return tuple(lines)

    def _draw(
        self,
        files: Mapping[str, Sequence[Path]],
        volumes: Mapping[str, Volume],
        marked: str | None,
        objects: tuple[ObjectLine, ...],
    ) -> tuple[str, ...]:
        """Write a picture of each volume; `marked`, or whichever is referred to, shows marks."""
        if self._out is None:
            return ()
        written = []
        for name, volume in volumes.items():
            marks, why_not = _marks(objects) if marked in (None, name) else (None, "")
            png = montage(volume, files[name], marks, self._caption(name, why_not))
            target = self._out / f"{name}.png"
            target.write_bytes(png)
            written.append(str(target))
        return tuple(written)

    def _caption(self, name: str, why_not: str) -> Caption:
        manifest = self._subject.manifest
        label = manifest.regulatory.label_on(self._clock.now().date())
        return Caption(
            above=(f"{manifest.title}, {manifest.version}: {name}",),
            below=(label, why_not) if why_not else (label,),
        )

    # -- small things -------------------------------------------------------------------

    def _enter(self, done: float, phase: str) -> None:
        # What a pipeline says while it infers is its own; the phases around it have names.
        name = phase if phase in (*_HERE, "load") else "infer"
        self._memory.enter(name)
        self._tell(done, phase)

    def _phases(self) -> tuple[PhaseLine, ...]:
        peaks = self._memory.peaks
        return tuple(
            _phase_line(name, seconds, peaks.get(name)) for name, seconds in self._seconds.items()
        )


def _study_line(choice: Choice, found: Folder) -> StudyLine:
    study = next(
        one for one in found.studies if one.study_instance_uid == choice.study_instance_uid
    )
    return StudyLine(
        study_instance_uid=study.study_instance_uid,
        series=len(study.series),
        images=sum(len(series.instances) for series in study.series),
        left_out=tuple(f"{name}: {why}" for name, why in found.problems),
        reasons=choice.reasons,
    )


def _phase_line(name: str, seconds: float, peak: Peak | None) -> PhaseLine:
    return PhaseLine(
        phase=name,
        seconds=round(seconds, 3),
        here=peak.here if peak and name in _HERE else None,
        pipeline=peak.children if peak and name not in _HERE else None,
    )


def _marks(objects: tuple[ObjectLine, ...]) -> tuple[Segmentation | None, str]:
    """Return the first Segmentation; where it cannot be shown, as a program wrote it, why not."""
    paths = [Path(one.path) for one in objects if one.kind == ObjectKind.SEG]
    try:
        return (read_segmentation(paths[0]) if paths else None), ""
    except BadInstance as error:
        return None, f"no marks are shown: {error}"
