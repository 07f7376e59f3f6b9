"""Alembic's side: env.py runs inside the transaction that results_store.migrate began.

Only forwards. The way back is the backup that was made before the update.
"""
