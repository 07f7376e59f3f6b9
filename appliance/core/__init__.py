"""The words everybody shares; imports nothing of ours and does no I/O."""
