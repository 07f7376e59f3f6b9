"""`appliance pipeline run`: one pipeline over many studies, one after the other, in shadow.

Files are read where they lie. The spool would be a second copy of what may be terabytes, and what
is in the spool is seen by every route of the site; a cohort is nobody's new study. So a run is
recorded in the store when it has ended, whole, under a route of the cohort's own name: no worker
ever sees it waiting, no page lists its study as received, drift does not count it.
"""

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from appliance.core.clock import Clock
from appliance.core.errors import ApplianceError, ConfigError, InputRefused, TransientPipelineError
from appliance.core.model import COHORT, JobInput, Priority
from appliance.core.states import JobEvent
from appliance.intake.folder import studies_of
from appliance.jobs.folders import Folders
from appliance.jobs.local import Outcome
from appliance.jobs.phases import Executor
from appliance.jobs.reasons import in_words
from appliance.trial.choose import Choice, attributes_of, choose
from appliance.trial.journal import Journal, Settled
from appliance.trial.rows import PHASES, measurement_rows
from appliance.trial.subject import Subject
from results_store.commands import CompletedRun, EndedRun, NewRun
from results_store.store import Store

Tell = Callable[[float, str], None]

_LOGGER = logging.getLogger(__name__)
_ATTEMPTS = 2  # where another one may succeed: the child died, memory ran out


class Ended(StrEnum):
    """How a study of a cohort ended."""

    DONE = "done"
    REFUSED = "refused"  # the pipeline says that the study is not what it was made for
    FAILED = "failed"
    NOT_CHOSEN = "not-chosen"  # no series fits an input; nothing was run


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyDone:
    """One study was settled."""

    study_instance_uid: str
    ended: Ended
    reason: str
    seconds: float


class _Try:
    """One try at one study; whatever goes wrong in it is remembered, and the next study comes.

    Not so ConfigError: then the same would go wrong in every study.
    """

    def __init__(self) -> None:
        self.choice: Choice | None = None
        self.outcome: Outcome | None = None
        self.error: Exception | None = None
        self.reason = ""
        self.run_uid = ""
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception) or isinstance(error, ConfigError):
            return False
        self.error = error
        self.reason = in_words(error, trace)
        if not isinstance(error, ApplianceError | OSError):
            # Where, and not what: a library's words may quote what it read from the images.
            _LOGGER.error("%s", "".join(traceback.format_tb(trace)))
        return True

    @property
    def ended(self) -> Ended:
        """Return how it ended."""
        if isinstance(self.error, InputRefused):
            return Ended.REFUSED
        if self.error is not None:
            return Ended.FAILED
        return Ended.NOT_CHOSEN if self.outcome is None else Ended.DONE


class Cohort:
    """Runs the studies that the journal has not settled."""

    def __init__(
        self,
        *,
        name: str,
        subject: Subject,
        store: Store,
        executor: Executor,
        journal: Journal,
        clock: Clock,
        worker: str,
    ) -> None:
        self._route = f"{COHORT}{name}"
        self._subject = subject
        self._store = store
        self._executor = executor
        self._journal = journal
        self._clock = clock
        self._worker = worker
        self._folders = Folders()

    def run(self, studies: Mapping[str, tuple[Path, ...]], tell: Tell) -> Iterator[StudyDone]:
        """Yield each study when it is settled. Raises ConfigError where none can be run."""
        for uid, paths in studies.items():
            self._check_folder()
            started, start = self._clock.now(), self._clock.monotonic()
            tried = self._try(uid, paths, tell)
            settled = self._record(uid, tried, started)
            self._journal.add(uid, settled)
            yield StudyDone(
                study_instance_uid=uid,
                ended=tried.ended,
                reason=str(settled.study["reason"]),
                seconds=self._clock.monotonic() - start,
            )

    def _check_folder(self) -> None:
        folder = self._subject.options.folder
        if self._folders.digest_of(folder) != self._subject.digest:
            raise ConfigError(
                f"{folder} changed while the cohort was run; put it back and go on by --resume, "
                "or begin anew with another --out"
            )

    # -- one study ----------------------------------------------------------------------

    def _try(self, uid: str, paths: tuple[Path, ...], tell: Tell) -> _Try:
        tried = _Try()
        for _ in range(_ATTEMPTS):
            tried = _Try()
            with tried:
                tried.choice = self._choose(uid, paths)
                if tried.choice.runs:
                    self._infer(tried, tried.choice, tell)
            if not isinstance(tried.error, TransientPipelineError):
                break
        return tried

    def _choose(self, uid: str, paths: tuple[Path, ...]) -> Choice:
        manifest = self._subject.manifest
        folder = studies_of(paths, attributes_of(manifest))
        study = next((one for one in folder.studies if one.study_instance_uid == uid), None)
        if study is None:
            why = folder.problems[0][1] if folder.problems else "it has no images"
            raise InputRefused(f"nothing of the study can be used: {why}")
        return choose(manifest, study, folder)

    def _infer(self, tried: _Try, choice: Choice, tell: Tell) -> None:
        subject = self._subject
        name, uid = subject.manifest.name, choice.study_instance_uid
        tried.run_uid = self._store.commands.next_run_uid(uid, self._route, name, subject.digest)
        phases = subject.phases(
            tried.run_uid, choice.files, self._executor, self._clock, tell, tried.seconds
        )
        tried.outcome = phases.infer(phases.read(), lambda: False)

    # -- what stays ---------------------------------------------------------------------

    def _record(self, uid: str, tried: _Try, started: datetime) -> Settled:
        """Return the study's rows; what ran is in the store by then."""
        job_id = None
        if tried.choice is not None and tried.choice.runs:
            job = self._store.commands.record_run(
                uid,
                self._route,
                self._new_run(tried.choice, started),
                _ending(tried),
                self._worker,
                self._clock.now(),
            )
            job_id = job.job_id
        run = self._run_row(uid, tried, job_id)
        outcome = tried.outcome
        result = None if outcome is None else outcome.output.result
        return Settled(
            study=run | _study_row(tried),
            measurements=() if result is None else measurement_rows(run, result),
        )

    def _new_run(self, choice: Choice, started: datetime) -> NewRun:
        manifest = self._subject.manifest
        return NewRun(
            pipeline=manifest.name,
            pipeline_version=manifest.version,
            pipeline_digest=self._subject.digest,
            priority=Priority.ROUTINE,
            inputs=tuple(
                JobInput(
                    input_name=chosen.input_name,
                    sop_instance_uid=sop_instance_uid,
                    series_instance_uid=chosen.series_instance_uid,
                    spool_name="",  # it was read where it lies; its path may hold a name
                )
                for chosen in choice.decision.inputs
                for sop_instance_uid in chosen.sop_instance_uids
            ),
            send=(),
            feedback_form=None,
            run_after=started,
        )

    def _run_row(self, uid: str, tried: _Try, job_id: int | None) -> dict[str, Any]:
        chosen = tried.choice.decision.inputs if tried.choice else ()
        return {
            "study_instance_uid": uid,
            "series_instance_uid": chosen[0].series_instance_uid if chosen else "",
            "pipeline": self._subject.manifest.name,
            "pipeline_version": self._subject.manifest.version,
            "pipeline_digest": self._subject.digest,
            "device": "" if tried.outcome is None else tried.outcome.device,
            "job_id": job_id,
        }


def _ending(tried: _Try) -> CompletedRun | EndedRun:
    if tried.outcome is not None:
        return CompletedRun(
            result=tried.outcome.output.result,
            objects=(),
            device=tried.outcome.device,
            seconds=tried.seconds,
            patient_key=None,
            gaps=tried.outcome.gaps,
        )
    refused = tried.ended is Ended.REFUSED
    event = JobEvent.REFUSE if refused else JobEvent.FAIL_PERMANENT
    return EndedRun(event=event, reason=tried.reason, seconds=tried.seconds)


def _study_row(tried: _Try) -> dict[str, Any]:
    chosen = tried.choice.decision.inputs if tried.choice else ()
    summary = tried.choice.decision.summary if tried.choice else ""
    notes = () if tried.outcome is None else tried.outcome.output.result.notes
    return {
        "outcome": tried.ended.value,
        "reason": tried.reason or ("" if chosen else summary),
        "inputs": "; ".join(f"{one.input_name}: {one.series_instance_uid}" for one in chosen),
        "images": sum(len(one.sop_instance_uids) for one in chosen),
        "notes": " | ".join(notes),
        **{f"seconds_{phase}": tried.seconds.get(phase) for phase in PHASES},
    }
