"""The receiver's limits, with the values as shipped, for the papers that peers read."""

from collections.abc import Mapping
from datetime import timedelta

from appliance.core.quantities import format_duration, format_size
from appliance.settings.site import ReceiverSettings

_SIZES = frozenset({"max_pdu_length", "max_message"})
_LIMITS = (
    "max_associations",
    "max_associations_per_peer",
    "max_pdu_length",
    "max_message",
    "network_timeout",
)


def tables() -> Mapping[str, str]:
    """Return each table's Markdown by the name under which the pages ask for it."""
    limits = _limits()
    return {"association-limits": limits, "onboarding-limits": limits}


def _limits() -> str:
    rows = ["| limit | setting | as shipped |", "| --- | --- | --- |"]
    for name in _LIMITS:
        field = ReceiverSettings.model_fields[name]
        text = str(field.description).rstrip(".")
        rows.append(f"| {text} | `receiver.{name}` | {_words(name, field.default)} |")
    return "\n".join(rows)


def _words(name: str, value: object) -> str:
    if isinstance(value, timedelta):
        return format_duration(value)
    return format_size(value) if name in _SIZES and isinstance(value, int) else str(value)
