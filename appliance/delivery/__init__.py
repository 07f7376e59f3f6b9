"""The outbox: results go to the archives that their routes name, and are proven to be there.

courier.py   the loop: leases, and one lane for each destination
lane.py      one destination: claim, compare identity, send, prove
options.py   what this room wants to be told
"""
