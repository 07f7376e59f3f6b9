"""Column types as the first steps mean them; a released step's types never change."""

import sqlalchemy as sa

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# SQLite keeps moments as text in UTC without a zone.
MOMENT = sa.DateTime(timezone=True).with_variant(sa.DateTime(), "sqlite")
