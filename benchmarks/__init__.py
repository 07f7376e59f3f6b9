"""Ratios beside a peer, both in one run. `python -m benchmarks` runs all of them."""
