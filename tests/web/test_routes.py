"""What the page of a study says of its routes, and the button that lets a held one go on."""

from html import unescape

import httpx
import pytest

from appliance.core.log import Event
from appliance.core.model import Job
from appliance.core.states import RouteState
from appliance.intake.completion import Signal
from feedback.status import signal_words
from tests.web.world import World, hidden

RULE = "brain volumes"


def test_a_held_route_goes_on_when_a_person_says_so(
    reader: httpx.Client, world: World, study: str
) -> None:
    decision = world.decide(study, matched=False)
    world.store.routes.hold(study, RULE, "1 of 3 images", decision)
    page = reader.get(f"/studies/{study}").text
    assert "Go on with the images that are here" in page
    fields = {"csrf": hidden(page, "csrf"), "route": RULE}
    refused = reader.post(f"/studies/{study}/release", data=fields | {"csrf": "x"})
    assert refused.status_code == 403
    answer = reader.post(f"/studies/{study}/release", data=fields)
    assert answer.status_code == 303
    (status,) = world.store.routes.of_study(study)
    assert (status.state, bool(status.released_by)) == (RouteState.OPEN, True)
    assert world.store.audit.list(limit=1)[0].action == "route-released"
    assert reader.post(f"/studies/{study}/release", data=fields).status_code == 409
    assert "Go on with the images" not in reader.get(f"/studies/{study}").text


def test_the_page_says_what_closed_a_route_and_what_came_late(
    reader: httpx.Client, world: World, study: str, job: Job
) -> None:
    words = signal_words("quiet")
    assert words in unescape(reader.get(f"/studies/{study}").text)
    fields = {"study_instance_uid": study, "route": job.route, "count": 2, "reason": "came late"}
    world.store.events.record(Event.ROUTE_LATE, fields)
    assert "Late images: 2 of an input series came late." in reader.get(f"/studies/{study}").text
    world.store.routes.run_again(study, job.route, "2 late images came")
    assert "Waiting for images" in reader.get(f"/studies/{study}").text


@pytest.mark.parametrize("signal", Signal)
def test_every_signal_has_words(signal: Signal) -> None:
    assert signal_words(signal) != signal
