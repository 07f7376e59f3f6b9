"""What a sysadmin writes becomes settings, or every mistake at once with its line."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core import conditions
from appliance.core.conditions import AllOf, Operator
from appliance.core.errors import ConfigError
from appliance.settings.load import load_settings, parse_settings
from appliance.settings.model import Settings

CONFIG = Path(__file__).parents[2] / "config"

WHOLE = """\
appliance: {ae_title: APPLIANCE}
destinations:
  pacs: {ae_title: PACS, address: "10.1.1.5:104"}
pipelines:
  brain-mr: {timeout: 10 min}
routes:
  - name: brain volumes
    when: {Modality: MR, SliceThickness: {at_most: 1.5}}
    run: [brain-mr]
    send: {to: [pacs]}
"""


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_settings(text, "a.yaml")
    return caught.value.problems


def only_problem(text: str) -> str:
    (problem,) = problems(text)
    return problem


def test_what_is_not_written_has_its_default() -> None:
    settings = parse_settings(WHOLE, "a.yaml")
    route = settings.routes[0]
    assert isinstance(route.when, AllOf)
    assert route.complete.quiet == timedelta(seconds=30)
    assert route.send is not None and route.send.objects == ("sr", "seg")
    assert str(settings.destinations["pacs"].address) == "10.1.1.5:104"
    assert settings.store_url == "sqlite:////var/lib/appliance/store.db"
    assert settings.web.url == "http://127.0.0.1:8443"


@pytest.mark.parametrize("name", ["appliance.yaml", "routes-examples.yaml"])
def test_the_shipped_examples_are_right(name: str) -> None:
    assert load_settings(CONFIG / name).routes


def test_as_shipped_nothing_leaves_the_machine() -> None:
    assert all(route.send is None for route in load_settings(CONFIG / "appliance.yaml").routes)


def test_three_mistakes_are_three_problems_with_their_lines_and_advice() -> None:
    text = WHOLE.replace("timeout: 10 min", "timeout: 10 minutes")
    text = text.replace("at_most: 1.5", "at_mots: 1.5").replace("to: [pacs]", "to: [pcs]")
    assert "\n".join(problems(text)) == (
        "a.yaml:5: pipelines.brain-mr.timeout: '10 minutes' is not a duration; "
        "write a number and one of ms, s, min, h, d\n"
        "a.yaml:8: routes.0.when.SliceThickness: 'at_mots' is no operator; "
        "use one of equals, in, absent_or_in, matches, at_least, at_most, exists\n"
        "a.yaml:10: routes.0.send.to.0: 'pcs' is no destination of this file; did you mean 'pacs'?"
    )


MISTAKES = {
    "APPLIANCE}": ("APPLI\\ANCE}", "a.yaml:1: appliance.ae_title: "),
    "10.1.1.5:104": ("10.1.1.5", "a.yaml:3: destinations.pacs.address: "),
    "timeout": ("timeuot", "a.yaml:5: pipelines.brain-mr.timeuot: unknown key; did you mean"),
    "name: brain volumes": ("nane: x", "a.yaml:7: routes.0.nane: unknown key; did you mean 'name'"),
    "Modality: MR": ("Modalty: MR", "a.yaml:8: routes.0.when.Modalty: "),
    "run: [brain-mr]": ("run: [brain-mrr]", "a.yaml:9: routes.0.run.0: 'brain-mrr' is no pipeline"),
    "to: [pacs]": ("to: [pacs], objects: [srr]", "a.yaml:10: routes.0.send.objects.0: "),
}


@given(st.sets(st.sampled_from(sorted(MISTAKES)), min_size=1))
def test_any_set_of_mistakes_is_told_whole_and_each_at_its_line(chosen: set[str]) -> None:
    text = WHOLE
    for right in chosen:
        text = text.replace(right, MISTAKES[right][0], 1)
    found = problems(text)
    for right in chosen:
        assert any(problem.startswith(MISTAKES[right][1]) for problem in found), right
    # A route without its name lacks it, besides having a key too much.
    assert len(found) == len(chosen) + ("name: brain volumes" in chosen)


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ("web: {listen: '0.0.0.0:8443'}", "a.yaml:11: web.listen: 0.0.0.0:8443 is open to others"),
        ("web: {listen: '127.0.0.1:11112'}", "a.yaml:11: web.listen: port 11112 is receiver.lis"),
        ("store: {url: 'sqlite:///store.db'}", "a.yaml:11: store.url: write an absolute path"),
        ("store: {url: 'postgresql://a:secret@h/d'}", "a.yaml:11: store.url: leave the password"),
        ("store: {url: 'mysql://h/d'}", "a.yaml:11: store.url: write sqlite:////PATH or"),
        ("receiver: {disk: {warn_below: 1 GB}}", "a.yaml:11: receiver.disk.warn_below: is less"),
        ("receiver: {peers: [{ae_title: A, address: 10.1.2.9/24}]}", "a.yaml:11: receiver.peers.0"),
        ("jobs: {lease: 60 s}\njobs: {}", "a.yaml:12: jobs: written twice (first on line 11)"),
        ("retention: {images: 2 weeks}", "a.yaml:11: retention.images: '2 weeks' is not a dura"),
    ],
)
def test_what_can_not_work_is_told_with_what_to_write(extra: str, told: str) -> None:
    assert only_problem(WHOLE + extra).startswith(told)


def test_a_password_in_the_store_url_is_never_repeated() -> None:
    assert "secret" not in only_problem(WHOLE + "store: {url: 'postgresql://a:secret@h/d'}")


def test_pages_open_to_others_are_fine_with_a_certificate() -> None:
    tls = "web: {listen: '0.0.0.0:443', tls: {certificate: /etc/c.pem, key: /etc/k.pem}}"
    assert parse_settings(WHOLE + tls, "a.yaml").web.url == "https://0.0.0.0:443"


def test_a_pipeline_that_is_not_shipped_needs_its_path() -> None:
    text = WHOLE.replace("brain-mr: {timeout", "brain-m: {timeout").replace(
        "[brain-mr]", "[brain-m]"
    )
    assert only_problem(text).startswith(
        "a.yaml:5: pipelines.brain-m: is not shipped; did you mean 'brain-mr'?; or write its path"
    )


def test_a_rule_that_can_never_match_is_told_why() -> None:
    text = WHOLE.replace("{at_most: 1.5}", "{at_most: 1.5, at_least: 2}")
    assert only_problem(text).startswith("a.yaml:8: routes.0.when: ")


def test_two_routes_of_one_name_are_a_mistake_on_the_second() -> None:
    again = WHOLE[WHOLE.index("  - name") :]
    assert only_problem(WHOLE + again).startswith("a.yaml:11: routes.1.name: 'brain volumes' is")


def test_a_form_that_the_folder_lacks_is_named_with_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "brain-volumes.yaml").touch()
    text = WHOLE + f"    feedback: brain-volume\nweb: {{forms: {tmp_path}}}\n"
    assert "is no form of this file; did you mean 'brain-volumes'?" in only_problem(text)


def test_a_ceiling_below_the_quiet_time_contradicts_it() -> None:
    text = WHOLE + "    complete: {quiet: 1 min, at_most: 30 s}\n"
    assert only_problem(text).startswith("a.yaml:11: routes.0.complete.at_most: is less than")


@pytest.mark.parametrize("text", ["", "[]", "appliance", "a: [", "a: &x [*x]", "routes: {a: 1}"])
def test_a_file_of_another_shape_is_a_mistake_not_a_crash(text: str) -> None:
    assert problems(text)


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml:1: \(the whole file\): cannot be read"):
        load_settings(tmp_path / "absent.yaml")


def test_only_true_and_false_are_truths() -> None:
    text = WHOLE.replace("Modality: MR,", "ContrastBolusAgent: {in: [NO, no, off]},")
    assert parse_settings(text, "a.yaml").routes[0].when == AllOf(
        parts=(
            conditions.Test(
                attribute="ContrastBolusAgent", operator=Operator.IN, value=("NO", "no", "off")
            ),
            conditions.Test(attribute="SliceThickness", operator=Operator.AT_MOST, value=1.5),
        )
    )
    assert "write true or false, not 'maybe'" in only_problem(
        WHOLE + "receiver: {accept_unknown_peers: maybe}"
    )


def test_settings_can_not_be_changed() -> None:
    settings = parse_settings(WHOLE, "a.yaml")
    with pytest.raises(ValueError, match="frozen"):
        settings.store = Settings.model_fields["store"].get_default(call_default_factory=True)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- a\n", "a.yaml:1: (the whole file): write keys with their values, not ['a']"),
        (WHOLE.replace("run: [brain-mr]", "run: brain-mr"), "write a list, not 'brain-mr'"),
        (WHOLE + "receiver:\n", "receiver: write keys with their values, not nothing"),
        (
            WHOLE.replace("10 min", "10 min, device: gpu"),
            "write 'auto', 'cpu' or 'cuda', not 'gpu'",
        ),
        ("appliance:\n\tae_title: A\n", "a.yaml:2: not readable as YAML: a tab; YAML wants spaces"),
    ],
)
def test_a_wrong_type_is_told_in_the_words_of_the_file(text: str, told: str) -> None:
    assert told in only_problem(text)


def test_a_cluster_belongs_to_its_executor() -> None:
    told = problems(WHOLE + "jobs: {executor: ray}\n")
    assert "jobs.cluster: belongs to executor: ray, which needs it" in told[0]
