"""Reading checkpoints: hub id, local folder or `tiny`, of floats or packed integers, with LoRA adapters."""

from pocketvl.export.checkpoint.checkpoint import Checkpoint, open_checkpoint
from pocketvl.export.checkpoint.lora import MergedLora, merge_lora

__all__ = ["Checkpoint", "MergedLora", "merge_lora", "open_checkpoint"]
