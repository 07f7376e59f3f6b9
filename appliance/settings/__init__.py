"""YAML → frozen settings; every mistake at once, with file, line, key and what to write.

Read in this order:

    values.py      single values: AE titles, addresses, networks, names, paths, conditions
    site.py        appliance, receiver, retention, store, destinations
    work.py        pipelines, routes, jobs
    watch.py       web, drift
    model.py       the whole file
    references.py  names that point to something else in the file
    load.py        file → Settings
    document.py    docs/SETTINGS.md and config/settings.schema.json come from here

Nothing is global: whoever needs settings is handed its own section by `appliance.wiring`.
"""
