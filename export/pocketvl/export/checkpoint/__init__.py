"""Reading checkpoints: hub id, local folder or `tiny`."""
