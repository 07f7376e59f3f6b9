"""How each kind of pipeline is run; `pipelines.registry` chooses."""
