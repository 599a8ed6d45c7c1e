"""The training loop: steps, checkpoints, validation, records."""
