"""How old a study is, against a route's `max_age` (pure)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo

from appliance.core.model import Attributes

_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")  # with dots: ACR-NEMA, still met
_TIME = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(?:\.\d{1,6})?")
_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """Whether a study is too old; `taken_at` is None where nobody can tell."""

    taken_at: datetime | None
    too_old: bool


def study_age(
    images: Iterable[Attributes], max_age: timedelta | None, time_zone: tzinfo, now: datetime
) -> Age:
    """Return how old the study is by StudyDate and StudyTime of its images.

    The zone is the study's own (0008,0201), else `time_zone`. A date without a time counts as
    the end of its day. The oldest date that any image has counts: one image without a date, or
    with another, makes no old study new. A date that is absent, broken or ahead of us blocks
    nothing.
    """
    said = {
        (_text(one, "StudyDate"), _text(one, "StudyTime"), _text(one, "TimezoneOffsetFromUTC"))
        for one in images
    }
    dates = [_taken_at(on, at, offset, time_zone) for on, at, offset in said]
    taken_at = min((date for date in dates if date is not None), default=None)
    too_old = taken_at is not None and max_age is not None and now - taken_at > max_age
    return Age(taken_at=taken_at, too_old=too_old)


def _taken_at(on: str, at: str, offset: str, time_zone: tzinfo) -> datetime | None:
    date, time = _DATE.fullmatch(on), _TIME.fullmatch(at)
    clock = (time[1], time[2] or 0, time[3] or 0) if time else (23, 59, 59)
    zone = _zone(offset) or time_zone
    if date is None:
        return None
    try:
        year, month, day, hour, minute, second = (int(part) for part in (*date.groups(), *clock))
        return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=zone)
    except (ValueError, OverflowError):
        return None


def _zone(text: str) -> tzinfo | None:
    offset = _OFFSET.fullmatch(text)
    if offset is None or int(offset[2]) > 14 or int(offset[3]) > 59:
        return None
    sign = -1 if offset[1] == "-" else 1
    return timezone(sign * timedelta(hours=int(offset[2]), minutes=int(offset[3])))


def _text(attributes: Attributes, keyword: str) -> str:
    values = attributes.get(keyword) or ("",)
    return str(values[0]).strip()
