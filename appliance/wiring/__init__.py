"""Settings in, objects out."""
