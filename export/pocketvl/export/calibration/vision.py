"""The vision tower, block by block: every picture through one block before the next is read."""

from collections.abc import Iterator, Sequence

import torch

from pocketvl.export.calibration.folds import NormFold, RowsFold
from pocketvl.export.calibration.inputs import PictureInputs
from pocketvl.export.calibration.stage import Decider
from pocketvl.export.executorch.operators import FusedAttention
from pocketvl.export.executorch.vision import Merger, VisionBlock, VisionEncoder
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.weights import fill_floats


class VisionWalk:
    """hidden: float32 (all patches, width), one picture after the other; (all tokens, output) in the end.

    units() names the steps; step() takes one, given the Decider that collects its decisions.
    """

    def __init__(self, plan: LayerPlan, pictures: Sequence[PictureInputs]) -> None:
        # On the meta device: a block takes memory from when it is filled until it is let go of.
        self._encoder = VisionEncoder(plan, FusedAttention(plan.geometry.vision))
        self._lengths = [len(picture.patches) for picture in pictures]
        self._positions = [self._encoder.positions(p.rope_cos, p.rope_sin) for p in pictures]
        self._patches = torch.cat([picture.patches for picture in pictures])
        self._depth = plan.geometry.vision.depth
        self.hidden = torch.empty(0)

    def units(self) -> Iterator[str]:
        yield "vision_encoder.patch_embed"
        yield from (f"vision_encoder.blocks.{index}" for index in range(self._depth))
        yield "vision_encoder.merger"

    @torch.no_grad()
    def step(self, unit: str, decider: Decider) -> None:
        """Decide one unit's layers and move `hidden` behind it."""
        if unit.endswith("patch_embed"):
            leaf = self._encoder.patch_embed
            fill_floats(leaf, decider.source)
            self.hidden = leaf(decider.decide([leaf], self._patches, _ones(self._patches)))
        elif unit.endswith("merger"):
            self._merge(self._encoder.merger, decider)
        else:
            index = int(unit.rpartition(".")[2])
            block = self._encoder.blocks[index]
            assert isinstance(block, VisionBlock)
            self._block(block, decider)
            self._encoder.blocks[index] = torch.nn.Identity()

    def _block(self, block: VisionBlock, decider: Decider) -> None:
        fill_floats(block, decider.source)
        weights = _ones(self.hidden)
        x = decider.decide([block.qkv], block.norm1(self.hidden), weights, NormFold(block.norm1))
        parts = zip(torch.split(x, self._lengths), self._positions, strict=True)
        x = torch.cat([block.attend(part, positions) for part, positions in parts])
        # The last third of qkv's rows are the values, which attention only averages.
        width = x.shape[1]
        values = RowsFold(block.qkv, torch.arange(2 * width, 3 * width))
        self.hidden = self.hidden + block.proj(decider.decide([block.proj], x, weights, values))
        x = decider.decide([block.fc1], block.norm2(self.hidden), weights, NormFold(block.norm2))
        self.hidden = self.hidden + block.fc2(decider.decide([block.fc2], block.activate(x), weights))

    def _merge(self, merger: Merger, decider: Decider) -> None:
        fill_floats(merger, decider.source)
        x = merger.join(self.hidden)
        weights = _ones(x)
        x = merger.activate(decider.decide([merger.fc1], x, weights))
        self.hidden = merger.fc2(decider.decide([merger.fc2], x, weights))


def _ones(x: torch.Tensor) -> torch.Tensor:
    return torch.ones(len(x))
