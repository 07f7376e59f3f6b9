"""Copies of the store: as tables for others, and whole for a bad day."""

from pathlib import Path

from appliance.wiring.site import load, open_site
from results_store.backup import backup
from results_store.export import export
from results_store.options import StoreOptions


def export_store(config: Path, folder: Path) -> tuple[Path, ...]:
    """Write findings, feedback and system times into `folder`; return the files."""
    with open_site(config) as site:
        return export(site.store, folder)


def backup_store(config: Path, target: Path) -> None:
    """Write a consistent copy of the store to `target`, also while the appliance runs."""
    backup(StoreOptions(url=load(config).store_url), target)
