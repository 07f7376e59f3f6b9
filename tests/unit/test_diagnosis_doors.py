"""What `check` says of doors that work but lead nowhere."""

from typing import Any

from appliance.diagnosis import warnings
from appliance.settings.model import Settings


def said(word: str, *, backfill: str = "send", **changes: Any) -> list[str]:
    data: dict[str, Any] = {
        "appliance": {"ae_title": "APPLIANCE"},
        "receiver": {"peers": [{"ae_title": "PACS", "address": "10.0.0.1"}]},
        "destinations": {"pacs": {"ae_title": "PACS", "address": "10.0.0.1:104"}},
        "pipelines": {"brain-mr": {}},
        "fetch": [{"from": "pacs"}],
        "routes": [
            {
                "name": "brain",
                "when": {"Modality": "MR"},
                "run": ["brain-mr"],
                "send": {"to": ["pacs"]},
                "backfill": backfill,
            }
        ],
    }
    return [one for one in warnings(Settings.model_validate(data | changes)) if word in one]


def test_what_is_fetched_or_imported_and_can_never_leave_is_told() -> None:
    assert said("backfill") == []
    (one,) = said("backfill", backfill="shadow")
    assert one.startswith("fetch: ")
    (both,) = said("backfill", backfill="shadow", **{"import": {"folder": "/srv/import"}})
    assert both.startswith("fetch and import: ")
    assert said("backfill", backfill="shadow", fetch=[]) == []


def test_a_node_that_would_be_rejected_when_it_sends_what_it_is_asked_for_is_told() -> None:
    assert said("is no peer") == []
    (one,) = said("is no peer", receiver={"peers": [{"ae_title": "MR01", "address": "10.0.0.2"}]})
    assert "fetch from pacs: PACS" in one
    assert said("is no peer", receiver={"accept_unknown_peers": True}) == []
    by_get = {"pacs": {"ae_title": "PACS", "address": "10.0.0.1:104", "retrieve": "get"}}
    assert said("is no peer", receiver={}, destinations=by_get) == []
