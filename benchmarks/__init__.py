"""Ratios beside a peer, both in one run; and what must hold under load. See `make bench`."""
