"""The glossary points to files that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GLOSSARY = (ROOT / "docs/GLOSSARY.md").read_text()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([a-z_]+/[a-z_/.]+)`", GLOSSARY))))
def test_what_the_glossary_points_to_is_there(path: str) -> None:
    assert (ROOT / path).exists() or (ROOT / "appliance" / path).exists()


def test_words_are_in_order() -> None:
    words = [word.lower() for word in re.findall(r"^\| \*\*(.+?)\*\*", GLOSSARY, re.MULTILINE)]
    assert words == sorted(words)
