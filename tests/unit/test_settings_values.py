"""Single values that people write, and the advice where they are wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from appliance.core.conditions import parse_condition
from appliance.settings.values import (
    Endpoint,
    check_ae_title,
    check_base_url,
    check_name,
    check_time_zone,
    check_uid_root,
    parse_endpoint,
    read_condition,
)


@given(st.text(max_size=20))
def test_an_ae_title_is_1_to_16_printable_ascii_without_backslash(text: str) -> None:
    allowed = (
        1 <= len(text) <= 16
        and all(" " <= letter <= "~" and letter != "\\" for letter in text)
        and text.strip() == text
    )
    if allowed:
        assert check_ae_title(text) == text
    else:
        with pytest.raises(ValueError, match=r"write|leave"):
            check_ae_title(text)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("10.1.1.5:104", "10.1.1.5", 104), ("pacs.example.org:1", "pacs.example.org", 1),
     ("[::1]:11112", "::1", 11112)],
)  # fmt: skip
def test_an_address_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    endpoint = parse_endpoint(text)
    assert endpoint == Endpoint(host=host, port=port)
    assert str(endpoint) == text


@pytest.mark.parametrize(
    "text",
    [
        "pacs",
        "pacs:",
        ":104",
        "pacs:0",
        "pacs:65536",
        "10.1.1.999:1",
        "a b:1",
        "::1:9",
        "[x]:1",
        104,
    ],
)
def test_what_is_no_address_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"write|neither"):
        parse_endpoint(text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.3.4.5", True), ("::1", True), ("localhost", True),
     ("10.0.0.1", False), ("pacs", False)],
)  # fmt: skip
def test_only_this_machine_is_loopback(host: str, loopback: bool) -> None:
    assert Endpoint(host=host, port=1).is_loopback is loopback


@pytest.mark.parametrize("text", ["ftp://a", "https://", "https://u@h", "https://h/?a=1", "h:80"])
def test_what_is_no_web_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|leave"):
        check_base_url(text)


def test_a_web_address_loses_its_last_slash() -> None:
    assert check_base_url("https://h:8443/") == "https://h:8443"


@pytest.mark.parametrize("text", ["", "Brain", "a/b", "-a", "a-", "a" * 65, "ä"])
def test_a_name_is_fit_for_commands_and_files(text: str) -> None:
    with pytest.raises(ValueError, match="write a-z"):
        check_name(text)


@pytest.mark.parametrize("text", ["1", "1.02.3", "1.2.", "a.b", "1." + "9" * 30])
def test_a_uid_root_that_makes_no_uid_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"UID root|longer"):
        check_uid_root(text)


@pytest.mark.parametrize("text", ["Londn", "../../etc/passwd", "/etc/passwd", ""])
def test_what_is_no_time_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Europe/London"):
        check_time_zone(text)


def test_every_mistake_in_a_condition_is_told_at_its_own_key() -> None:
    wrong = {
        "Modality": {"in": "MR"},
        "any": [{"SliceThickness": {"at_least": "thin"}}, {"not": {"Nonsense": 1}}],
        "instance": {"ImageType": []},
    }
    with pytest.raises(ValidationError) as caught:
        read_condition(wrong)
    assert [detail["loc"] for detail in caught.value.errors()] == [
        ("Modality",),
        ("any", 0, "SliceThickness"),
        ("any", 1, "not", "Nonsense"),
        ("instance", "ImageType"),
    ]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("MR"),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["Modality", "any", "all", "not", "instance", "in", "nonsense"]),
                inner,
                max_size=3,
            )
        ),
        max_leaves=12,
    )
)
def test_mistakes_are_found_exactly_where_parsing_fails(data: object) -> None:
    try:
        right = parse_condition(data)
    except ValueError:
        with pytest.raises(ValidationError):
            read_condition(data)
    else:
        assert read_condition(data) == right
