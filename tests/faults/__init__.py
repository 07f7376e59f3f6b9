"""Faults and attacks: what is killed, cut off, filled up or lied to, and what is there after."""
