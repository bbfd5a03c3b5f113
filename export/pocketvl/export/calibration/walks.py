"""The float model, block by block: every sample through one block before the next is read.

First the vision tower, then the decoder, then its head.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import repeat

import torch

from pocketvl.export.calibration.inputs import ImageInputs, TextInputs
from pocketvl.export.calibration.stage import Decider, NormFold, RowsFold
from pocketvl.export.component import TensorSource
from pocketvl.export.executorch.operators import FusedAttention
from pocketvl.export.executorch.text_graph import BeforeAttention, DecoderLayer, TextDecoder, for_all_heads
from pocketvl.export.executorch.vision_graph import Merger, VisionBlock, VisionEncoder
from pocketvl.export.executorch.xnnpack import load_custom_ops
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.layers import EMBEDDING
from pocketvl.export.modules import LMHead
from pocketvl.export.weights import fill_floats
from pocketvl.runtime.engines.native_log import captured_stderr

# The rows of a tied head are the token embeddings as well, so they must stay near what they were, too.
_TIED_DAMPING = 1.0


class VisionWalk:
    """hidden: float32 (all patches, width), one image after the other; (all tokens, output) in the end.

    units() names the steps; step() takes one, given the Decider that collects its decisions.
    """

    def __init__(self, plan: LayerPlan, images: Sequence[ImageInputs]) -> None:
        # On the meta device: a block takes memory from when it is filled until it is let go of.
        self._encoder = VisionEncoder(plan, FusedAttention(plan.geometry.vision))
        self._lengths = [len(image.patches) for image in images]
        self._positions = [self._encoder.positions(p.rope_cos, p.rope_sin) for p in images]
        self._patches = torch.cat([image.patches for image in images])
        self._depth = plan.geometry.vision.depth
        self.hidden = torch.empty(0)

    @property
    def flow(self) -> dict[str, torch.Tensor]:
        """What goes from one unit to the next."""
        return {"hidden": self.hidden}

    @flow.setter
    def flow(self, tensors: dict[str, torch.Tensor]) -> None:
        self.hidden = tensors["hidden"]

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
        qkv, proj, mlp = block.heads.qkv, block.project.proj, block.mlp
        weights = _ones(self.hidden)
        x = decider.decide([qkv], block.norm1(self.hidden), weights, NormFold(block.norm1))
        parts = zip(torch.split(x, self._lengths), self._positions, strict=True)
        x = torch.cat([block.attend(part, positions)[0] for part, positions in parts])
        # The last third of qkv's rows are the values, which attention only averages.
        width = x.shape[1]
        values = RowsFold(qkv, torch.arange(2 * width, 3 * width))
        self.hidden = self.hidden + proj(decider.decide([proj], x, weights, values))
        x = decider.decide([mlp.fc1], block.norm2(self.hidden), weights, NormFold(block.norm2))
        self.hidden = self.hidden + mlp.fc2(decider.decide([mlp.fc2], mlp.activate(x), weights))

    def _merge(self, merger: Merger, decider: Decider) -> None:
        fill_floats(merger, decider.source)
        mlp = merger.mlp
        x = mlp.join(merger.norm(self.hidden))
        weights = _ones(x)
        x = mlp.activate(decider.decide([mlp.fc1], x, weights))
        self.hidden = mlp.fc2(decider.decide([mlp.fc2], x, weights))


def _ones(x: torch.Tensor) -> torch.Tensor:
    return torch.ones(len(x))


def attend_each(
    before: BeforeAttention,
    cache: torch.nn.Module,
    x: torch.Tensor,
    lengths: Sequence[int],
    ropes: Sequence[tuple[torch.Tensor, torch.Tensor]],
) -> torch.Tensor:
    """(tokens, heads * head_dim), what o reads, for x (tokens, width) of samples of these lengths.

    ropes: cos and sin (1, S, 1, head_dim) of each sample. Each begins with an empty cache.
    """
    parts = zip(torch.split(x, list(lengths)), ropes, strict=True)
    # The operator reports a missing allocator at every call that torch makes of it.
    with captured_stderr():
        attended = [cache(*before.project(part[None], cos, sin), 0)[0] for part, (cos, sin) in parts]
    return torch.cat(attended).flatten(1)


class TextWalk:
    """hidden: float32 (all tokens, width) of the samples one after the other, as what was decided makes it;
    float_hidden: as the float model does, where corrections look at it."""

    def __init__(self, plan: LayerPlan, samples: Sequence[TextInputs]) -> None:
        load_custom_ops()
        geometry = plan.geometry.text
        self._lengths = [len(sample.token_ids) for sample in samples]
        self._decoder = TextDecoder(plan, max(self._lengths))
        self._head = LMHead(plan)
        self._tied = geometry.tie_word_embeddings
        self._ropes = [(for_all_heads(sample.rope_cos), for_all_heads(sample.rope_sin)) for sample in samples]
        self._ids = torch.cat([sample.token_ids for sample in samples])
        self._is_image = torch.cat([sample.is_image for sample in samples])
        self._layers = geometry.num_layers
        # Each query head reads the values of its group's key-value head.
        heads = torch.arange(geometry.num_heads) // (geometry.num_heads // geometry.num_kv_heads)
        rows = heads[:, None] * geometry.head_dim + torch.arange(geometry.head_dim)
        self._value_rows = rows.reshape(-1)
        self.hidden = self.float_hidden = torch.empty(0)

    def units(self) -> Iterator[str]:
        yield from (f"text_decoder.layers.{index}" for index in range(self._layers))
        yield "lm_head"

    def embed(self, image_embeddings: torch.Tensor, source: TensorSource) -> None:
        """Start: token embeddings, with those of images (tokens, width) in their places."""
        self.hidden = source.tensor(EMBEDDING)[self._ids].float()
        self.hidden[self._is_image] = image_embeddings
        self.float_hidden = self.hidden.clone()

    @property
    def flow(self) -> dict[str, torch.Tensor]:
        """What goes from one unit to the next."""
        return {"hidden": self.hidden, "float_hidden": self.float_hidden}

    @flow.setter
    def flow(self, tensors: dict[str, torch.Tensor]) -> None:
        self.hidden, self.float_hidden = tensors["hidden"], tensors["float_hidden"]

    @torch.no_grad()
    def step(self, unit: str, decider: Decider) -> None:
        """Decide one unit's layers and move `hidden` behind it."""
        if unit == "lm_head":
            self._finish(decider)
            return
        index = int(unit.rpartition(".")[2])
        layer = self._decoder.layers[index]
        assert isinstance(layer, DecoderLayer)
        self._layer(layer, self._decoder.caches[index], decider)
        self._decoder.layers[index] = torch.nn.Identity()

    def _layer(self, layer: DecoderLayer, cache: torch.nn.Module, decider: Decider) -> None:
        fill_floats(layer, decider.source)
        weights = torch.where(self._is_image, decider.calibration.vision_weight, 1.0)
        before, after = layer.before, layer.after
        exact = self._exact(layer, cache) if decider.calibration.correction else repeat(None, 5)
        leaves = [before.q, before.k, before.v]
        norm = NormFold(before.norm)
        x = decider.decide(leaves, before.norm(self.hidden), weights, norm, wanted=next(exact))
        x = attend_each(before, cache, x, self._lengths, self._ropes)
        values = RowsFold(before.v, self._value_rows)
        x = decider.decide([after.o], x, weights, values, wanted=next(exact))
        self.hidden = self.hidden + after.o(x)
        leaves = [after.gate, after.up]
        norm = NormFold(after.norm)
        x = decider.decide(leaves, after.norm(self.hidden), weights, norm, wanted=next(exact))
        x = after.activate(x)
        up = RowsFold(after.up, torch.arange(x.shape[1]))
        x = decider.decide([after.down], x, weights, up, wanted=next(exact))
        self.hidden = self.hidden + after.down(x)
        next(exact)

    def _exact(self, layer: DecoderLayer, cache: torch.nn.Module) -> Iterator[torch.Tensor | None]:
        """What the stages of the float model's layer read, beside those that are decided, and None behind the
        last of them; moves float_hidden on."""
        layer = deepcopy(layer)
        before, after, hidden = layer.before, layer.after, self.float_hidden
        x = before.norm(hidden)
        yield x
        x = attend_each(before, cache, x, self._lengths, self._ropes)
        yield x
        hidden = hidden + after.o(x)
        x = after.norm(hidden)
        yield x
        x = after.activate(x)
        yield x
        self.float_hidden = hidden + after.down(x)
        yield None

    def _finish(self, decider: Decider) -> None:
        """The head. Nothing is ever read off an image's tokens, so only text counts."""
        norm, rotation, head = self._decoder.norm, self._head.rotation, self._head.head
        fill_floats(norm, decider.source)
        fill_floats(self._head, decider.source)
        text = norm(self.hidden[~self._is_image])
        if rotation is not None:
            text = text + rotation(decider.decide([rotation], text, _ones(text)))
        damping = _TIED_DAMPING if self._tied else None
        decider.decide([head], text, _ones(text), damping=damping)
