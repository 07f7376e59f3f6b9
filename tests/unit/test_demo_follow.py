"""When the demo holds a study for done."""

from appliance.core.states import RouteState
from appliance.demo.follow import StudyNow


def study(*routes: tuple[str, RouteState]) -> StudyNow:
    return StudyNow(
        study_instance_uid="1.2.3",
        route_count=2,
        routes=tuple((name, state, "") for name, state in routes),
        jobs=(),
        deliveries=(),
    )


def test_a_study_is_done_when_every_route_has_said_its_last_word() -> None:
    assert study(("brain", RouteState.CLOSED), ("lungs", RouteState.CLOSED)).over
    assert not study(("brain", RouteState.CLOSED), ("lungs", RouteState.OPEN)).over


def test_a_study_is_not_done_before_every_route_has_looked_at_it() -> None:
    assert not study().over
    assert not study(("brain", RouteState.CLOSED)).over
