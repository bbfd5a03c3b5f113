"""Data and activations that calibration refuses."""

import dataclasses
from pathlib import Path

import pytest
import torch

from pocketvl.export.checkpoint import Checkpoint, open_checkpoint
from pocketvl.quant.recipe import Calibration
from pocketvl.runtime.errors import CalibrationError
from tests.support.calibrating import RECIPE, run
from tests.support.checkpoints import random_tensors, write_checkpoint, write_weights


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder)
    return open_checkpoint(str(folder))


def test_too_little_data(checkpoint: Checkpoint, tmp_path: Path) -> None:
    few = dataclasses.replace(RECIPE, calibration=Calibration(samples=1))
    with pytest.raises(CalibrationError, match="tokens, but a layer has 96 inputs"):
        run(checkpoint, tmp_path, few)


def test_activations_that_overflow_name_the_layer(tmp_path: Path) -> None:
    geometry = write_checkpoint(tmp_path / "model", dtype=torch.float32)
    tensors = random_tensors(geometry, dtype=torch.float32)
    tensors["visual.blocks.1.norm2.weight"] *= 1e38
    write_weights(tmp_path / "model", tensors)
    checkpoint = open_checkpoint(str(tmp_path / "model"))
    with pytest.raises(
        CalibrationError, match=r"inputs of vision_encoder\.blocks\.1\.fc\d are NaN or infinite"
    ):
        run(checkpoint, tmp_path / "store")
