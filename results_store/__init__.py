"""All SQL of the appliance: SQLite by default, PostgreSQL through the same code.

    options.py      StoreOptions and what a URL may be
    local_disk.py   refuses SQLite on a network file system
    engine.py       connections and transactions, and nothing else of a dialect
    revisions.py    which version of the schema a database has, and which we know
    migrate.py      brings a database to this version's schema (upgrade.py, migrations/)
    schema/         the tables
    rows.py, job_rows.py    from rows to values; the one way to move a job
    store.py        open_store() and Store, which has one attribute a table group:
    studies.py      instances and studies              hand-over 2, indexed
    indexing.py     what a batch of instances turns out to be (what it is told: facts.py)
    identities.py   whose images say they are; what has to be looked at
    routes.py       where each route stands, decisions
    commands.py     what crosses tables                hand-overs 3, queued, and 4, done
    jobs.py         claim, heartbeat, fail, leases
    results.py      findings, segments, features, objects
    deliveries.py   the outbox                         hand-over 5, delivered
    feedback_log.py what readers said                  hand-over 6, said
    accounts.py     accounts and sessions
    trail.py        audit and events
    drift.py        feature rows, reference periods, points
    controls.py     what is paused
    export.py       findings, feedback and times as CSV and Parquet (what they hold: sheets.py)
    backup.py       a consistent copy while everything runs

A state moves by compare-and-set along the tables of `appliance.core.states` and leaves an event
row. What people said and what was decided is append-only; triggers in the database hold that.
"""
