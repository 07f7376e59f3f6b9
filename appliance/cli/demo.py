"""`appliance demo`."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from appliance.cli.common import console
from appliance.demo.play import Options, play


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(demo)


def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="DICOM files to send: a folder, or a shipped study's name "
            "(ct-chest-lungdx-a0001); without it, a head MR."
        ),
    ] = None,
    *,
    once: Annotated[bool, typer.Option("--once", help="End instead of serving.")] = False,
    json: Annotated[
        Path | None,
        typer.Option(
            "--json",
            help="Write what was found to this file; the objects that it names stay.",
        ),
    ] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Work in this folder and leave it.")
    ] = None,
) -> int:
    """Run the appliance beside a stand-in PACS and show what it does."""
    # As Ctrl-C does: without it, what was started would live on.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return play(Options(folder=folder, once=once, json=json, keep=keep), console)
