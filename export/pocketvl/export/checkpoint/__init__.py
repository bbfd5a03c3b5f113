"""Reading checkpoints: hub id, local folder or `tiny`."""

from pocketvl.export.checkpoint.checkpoint import Checkpoint, open_checkpoint

__all__ = ["Checkpoint", "open_checkpoint"]
