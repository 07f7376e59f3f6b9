"""Alembic's side: env.py runs inside the transaction that results_store.migrate began.

A step's file begins with its revision (see `revisions`). Only forwards: the way back is the
backup that was made before the update.
"""
