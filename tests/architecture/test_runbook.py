"""Every command, setting and event that the runbook names is there."""

import re
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from appliance.cli.main import command_line
from appliance.core.log import Event
from appliance.settings.document import settings_schema

RUNBOOK = (Path(__file__).parents[2] / "docs/RUNBOOK.md").read_text()


def named(pattern: str) -> list[str]:
    return sorted(set(re.findall(pattern, RUNBOOK, re.MULTILINE)))


@pytest.mark.parametrize("words", named(r"(?:^    |`)appliance ([a-z]+(?: [a-z]+)?)"))
def test_a_command_of_the_runbook_exists(words: str) -> None:
    group = typer.main.get_command(command_line(""))
    assert isinstance(group, TyperGroup)
    first, _, second = words.partition(" ")
    command = group.commands[first]
    if isinstance(command, TyperGroup):
        assert second in command.commands


@pytest.mark.parametrize("words", named(r"`([a-z]+\.(?!db)[a-z_]+)`"))
def test_a_setting_or_event_of_the_runbook_exists(words: str) -> None:
    section, _, key = words.partition(".")
    schema = settings_schema()
    is_setting = f'"{section}": {{' in schema and f'"{key}": {{' in schema
    assert is_setting or words in {event.value for event in Event}
