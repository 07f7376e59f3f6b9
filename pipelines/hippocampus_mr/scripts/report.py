"""The validation as tables, for the card and for docs/VALIDATION.md. Pure but for reading it.

`docs/validation.json` has a row for each volume; every number below is computed from those rows.
"""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipelines.hippocampus_mr.scripts.data import BUNDLE
from pipelines.hippocampus_mr.scripts.measure import PARTS, Agreement, agreement

Validation = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]


def shipped() -> Validation:
    """Return the validation of the weights that are shipped."""
    found: Validation = json.loads(
        (BUNDLE / "docs" / "validation.json").read_text(encoding="utf-8")
    )
    return found


def tables() -> Mapping[str, str]:
    """Return every table by the name under which the card and the page ask for it."""
    said = shipped()
    return {
        "hippocampus-mr-run": run_table(said),
        "hippocampus-mr-dice": dice_table(said),
        "hippocampus-mr-volumes": volume_table(said),
        "hippocampus-mr-training-range": range_table(said),
    }


def mean_dice(rows: Rows) -> float:
    """Return the mean over volumes of the mean of anterior and posterior Dice."""
    return statistics.fmean(_both(row) for row in rows)


def _both(row: Mapping[str, Any]) -> float:
    return (float(row["dice"]["anterior"]) + float(row["dice"]["posterior"])) / 2


def _part(rows: Rows, part: str) -> list[float]:
    return [float(row["dice"][part]) for row in rows]


def dice_table(said: Validation) -> str:
    """Return overlap by fold, over all, and of the worst volume."""
    rows: Rows = said["volumes"]
    folds = sorted({row["fold"] for row in rows})
    lines = [_dice_line(str(fold), [row for row in rows if row["fold"] == fold]) for fold in folds]
    lines.append(_dice_line("all", rows))
    worst = [f"{min(_part(rows, part)):.3f}" for part in ("anterior", "posterior")]
    least = [f"{min(map(_both, rows)):.3f}", f"{min(_part(rows, 'whole')):.3f}"]
    lines.append(("worst volume", "", "", *worst, *least))
    head = ("fold", "volumes", "subjects", "anterior", "posterior", "mean of both", "whole")
    return _markdown(head, lines)


def _dice_line(name: str, rows: Rows) -> tuple[str, ...]:
    subjects = len({row["subject"] for row in rows})
    anterior, posterior, whole = (
        f"{statistics.fmean(_part(rows, part)):.3f} ± {statistics.stdev(_part(rows, part)):.3f}"
        for part in ("anterior", "posterior", "whole")
    )
    both = f"**{mean_dice(rows):.3f}**"
    return (name, str(len(rows)), str(subjects), anterior, posterior, both, whole)


def run_table(said: Validation) -> str:
    """Return with what the numbers were made, and how long it took."""
    minutes = ", ".join(f"{name} {seconds / 60:.0f}" for name, seconds in said["seconds"].items())
    lines = [*said["machine"].items(), ("minutes of one core", minutes)]
    return _markdown(("made with", ""), [*lines, ("recipe, SHA-256", f"`{said['recipe']}`")])


def volumes(rows: Rows, part: str) -> tuple[list[float], list[float]]:
    """Return the volumes in mL by the model and by the labels."""
    return [row["model_ml"][part] for row in rows], [row["label_ml"][part] for row in rows]


def volume_table(said: Validation) -> str:
    """Return the agreement of volumes with the labels (Bland and Altman)."""
    lines = []
    for part in PARTS:
        model, label = volumes(said["volumes"], part)
        found: Agreement = agreement(model, label)
        mean = statistics.fmean(label)
        lines.append((
            part,
            f"{mean:.2f}",
            f"{found.bias:+.3f} ({100 * found.bias / mean:+.1f} %)",
            f"{found.low:+.3f} to {found.high:+.3f}",
        ))  # fmt: skip
    head = ("part", "mean label, mL", "bias, mL", "95 % limits of agreement, mL")
    return _markdown(head, lines)


def range_table(said: Validation) -> str:
    """Return what the training volumes were like, for whoever asks whether a study is."""
    lines = [
        (name.rstrip(","), *(f"{value:g}" for value in span.values()))  # words of a sentence
        for name, span in said["training_range"].items()
    ]
    return _markdown(("", "least", "0.5th percentile", "99.5th percentile", "most"), lines)


def beside(fold: int, rows: Rows, said: Validation) -> str:
    """Return one sentence that compares a fold made now with the one that is published."""
    before = mean_dice([row for row in said["volumes"] if row["fold"] == fold])
    now = mean_dice(rows)
    return f"fold {fold}: mean Dice {now:.4f}; published {before:.4f}; {now - before:+.4f}"


def as_json(said: Validation) -> str:
    """Return the validation as the file is written: one line a volume, to be read and compared."""
    rows = ",\n".join(f"  {json.dumps(row)}" for row in said["volumes"])
    rest = {name: value for name, value in said.items() if name != "volumes"}
    return json.dumps(rest, indent=1)[:-2] + f',\n "volumes": [\n{rows}\n ]\n}}\n'


def _markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = (head, ["---"] * len(head), *lines)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
