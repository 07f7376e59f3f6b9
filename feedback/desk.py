"""Where every page of a study starts: who asks, for which study, run and series."""

from dataclasses import dataclass
from pathlib import Path

from fastapi import Request

from appliance.core.model import Job, ObjectKind
from appliance.core.uids import is_usable_uid
from feedback.auth import Visitor
from feedback.banner import Banners
from feedback.errors import LoginNeeded, not_found
from feedback.pictures import Pictures, Stack
from feedback.review import Review, Reviewer
from feedback.site import Site
from results_store.studies import IndexedInstance, StudyRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the pages of a study share."""

    site: Site
    banners: Banners
    pictures: Pictures
    reviewer: Reviewer

    def enter(self, request: Request, uid: str) -> tuple[Visitor, StudyRow]:
        """Return who asks and the study. Raises LoginNeeded, or PageError for an unknown study."""
        if not is_usable_uid(uid):
            raise not_found()
        visitor = self.site.gate.visitor(request, uid)
        if visitor is None:
            raise LoginNeeded
        study = self.site.store.studies.get(uid)
        if study is None:
            raise not_found()
        return visitor, study

    def review(self, study: StudyRow, job_id: int | None) -> Review:
        """Return the study's review. Raises PageError for a run that is not the study's."""
        review = self.reviewer.of_study(study, job_id)
        if review is None:
            raise not_found()
        return review

    def job(self, study: StudyRow, job_id: int) -> Job:
        """Return a run of the study. Raises PageError for any other."""
        for job in self.site.store.jobs.of_study(study.study_instance_uid):
            if job.job_id == job_id:
                return job
        raise not_found()

    def stack(self, study: StudyRow, series_uid: str) -> Stack | None:
        """Return the frames of a series, or None where they are no longer kept or readable."""
        return self.pictures.stack(self.series(study, series_uid))

    def series(self, study: StudyRow, series_uid: str) -> tuple[IndexedInstance, ...]:
        """Return the kept images of a series; of the largest one if `series_uid` is empty."""
        instances = self.site.store.studies.instances(study.study_instance_uid)
        by_series: dict[str, list[IndexedInstance]] = {}
        for instance in instances:
            by_series.setdefault(instance.series_instance_uid, []).append(instance)
        if not series_uid and by_series:
            series_uid = max(by_series, key=lambda uid: len(by_series[uid]))
        return tuple(by_series.get(series_uid, ()))

    def mask_file(self, job_id: int) -> Path | None:
        """Return the run's segmentation object, or None; one that it made itself, if readable."""
        if not self.site.store.results.segments(job_id):
            return None
        for item in self.site.store.results.objects(job_id):
            if item.kind == ObjectKind.SEG:
                return self.site.sources.results_folder / item.path
        return None
