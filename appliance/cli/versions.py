"""`appliance pipeline list`: every version that is or was here."""

from collections.abc import Iterator, Mapping

from appliance.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, show_rows
from appliance.wiring.shelf import pipelines_now
from appliance.wiring.site import open_site
from feedback.cards import Card, Cards
from feedback.system import PipelineLine

_COLUMNS = ("pipeline", "version", "role", "digest", "since", "runs")
_DIGITS = 12  # of a digest, in the table; what a release may name


def list_versions(config: ConfigOption = DEFAULT_CONFIG, *, as_json: JsonOption = False) -> int:
    """List every version with role, status, since when, runs so far."""
    with open_site(config) as site:
        lines = pipelines_now(site.settings, site.clock)()
        cards = Cards(site.store).all()
    rows = list(_rows(cards, lines))
    if not as_json:
        rows = [row | {"digest": str(row["digest"])[:_DIGITS]} for row in rows]
    show_rows(rows, columns=_COLUMNS, as_json=as_json, below=lambda row: str(row["status"]))
    return 0


def _rows(cards: tuple[Card, ...], lines: tuple[PipelineLine, ...]) -> Iterator[dict[str, object]]:
    here: Mapping[str, PipelineLine] = {line.digest: line for line in lines}
    known = {card.version.digest for card in cards}
    for line in lines:
        if line.digest not in known:
            yield _row(line.name, line.version, line.digest, line.words)
    for card in cards:
        version = card.version
        line_ = here.get(version.digest)
        status = line_.words if line_ else "not installed now"
        row = _row(version.name, version.version, version.digest, status)
        role = card.manifest.clinical_role.value if card.manifest else ""
        yield row | {"role": role, "since": version.first_seen, "runs": version.runs}


def _row(name: str, version: str, digest: str, status: str) -> dict[str, object]:
    return {
        "pipeline": name,
        "version": version,
        "role": "",
        "status": status,
        "digest": digest,
        "since": None,
        "runs": 0,
    }
