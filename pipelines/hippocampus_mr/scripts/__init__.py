"""Training and validation of the bundle; inference needs none of it."""
