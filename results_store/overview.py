"""Sums for people who look: what came of a study, and how much there is of everything."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Row, func, select

from appliance.core.model import Door
from results_store.engine import Database
from results_store.job_rows import asked_by_routes
from results_store.rows import pick
from results_store.schema.outcome import delivery
from results_store.schema.queue import job, study_route
from results_store.schema.received import Relation, instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Instances of one series that are alike: from one caller, of one kind, here or deleted."""

    series_instance_uid: str
    modality: str
    calling_ae_title: str
    peer_address: str
    door: Door
    own: bool  # our own result came back
    cut_off: bool  # came not whole; its file is in quarantine
    current: bool  # False: another version of the same SOP Instance UID counts
    is_here: bool  # False: deleted by retention
    instances: int
    frames: int
    size: int  # bytes
    first_received_at: datetime
    last_received_at: datetime


class Overview:
    """Reads sums."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def arrivals(self, study_uid: str) -> tuple[Arrivals, ...]:
        """Return what was ever indexed of the study, in the order in which it began to come."""
        alike = (
            instance.c.series_instance_uid,
            instance.c.modality,
            instance.c.calling_ae_title,
            instance.c.peer_address,
            instance.c.door,
            instance.c.own,
            instance.c.current,
            instance.c.relation,
            instance.c.deleted_at.is_(None).label("is_here"),
        )
        query = (
            select(
                *alike,
                func.count().label("instances"),
                func.sum(instance.c.number_of_frames).label("frames"),
                func.sum(instance.c.size).label("size"),
                func.min(instance.c.received_at).label("first_received_at"),
                func.max(instance.c.received_at).label("last_received_at"),
            )
            .where(instance.c.study_instance_uid == study_uid)
            .group_by(*alike)
            .order_by("first_received_at", instance.c.series_instance_uid)
        )
        with self._database.read() as connection:
            return tuple(_to_arrivals(row) for row in connection.execute(query))

    def checksums(self, first_digits: str) -> Mapping[str, str]:
        """Return the checksum of the data set by spool name, of names that begin so and are kept.

        Of all together it would be too much to hold in memory.
        """
        name = instance.c.spool_name
        query = select(name, instance.c.checksum).where(
            name >= first_digits, name < f"{first_digits}g", instance.c.deleted_at.is_(None)
        )
        with self._database.read() as connection:
            return {row.spool_name: row.checksum for row in connection.execute(query)}

    def routes(self) -> Mapping[str, int]:
        """Return how many routes of studies are in each state."""
        return self._by_state(study_route.c.state)

    def jobs(self) -> Mapping[str, int]:
        """Return how many runs that routes asked for are in each state."""
        return self._by_state(job.c.state, asked_by_routes())

    def deliveries(self) -> Mapping[str, int]:
        """Return how many deliveries are in each state."""
        return self._by_state(delivery.c.state)

    def _by_state(self, state: Column[Any], *only: ColumnElement[bool]) -> Mapping[str, int]:
        query = select(state, func.count()).where(*only).group_by(state).order_by(state)
        with self._database.read() as connection:
            return {str(name): int(number) for name, number in connection.execute(query)}


def _to_arrivals(row: Row[Any]) -> Arrivals:
    values = pick(row, Arrivals, "cut_off")
    whole = {name: int(values[name]) for name in ("instances", "frames", "size")}
    kinds = {
        "door": Door(row.door),
        "cut_off": row.relation == Relation.CUT_OFF,
        "is_here": bool(row.is_here),
    }
    return Arrivals(**(values | whole | kinds))
