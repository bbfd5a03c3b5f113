"""What is said of a checkpoint that cannot be opened."""

from pathlib import Path

import pytest

from pocketvl.export.checkpoint import open_checkpoint
from pocketvl.runtime.errors import CheckpointError


def refusal(folder: Path) -> str:
    """A whole sentence."""
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(str(folder))
    message = str(caught.value)
    assert message.endswith((".", "?")), message
    return message
