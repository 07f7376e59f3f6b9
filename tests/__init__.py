"""The tests; a package so that `tests.builders` and `tests.counterparts` can be imported."""
