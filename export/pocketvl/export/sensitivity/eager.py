"""The whole float model, run unit by unit over all samples at once, and KL(float || one layer rounded)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import nn

from pocketvl.export.calibration.inputs import InputMaker, SampleInputs
from pocketvl.export.calibration.samples import Sample
from pocketvl.export.calibration.walks import attend_each
from pocketvl.export.component import TensorSource
from pocketvl.export.executorch.text_graph import DecoderLayer, TextDecoder, for_all_heads
from pocketvl.export.executorch.vision_graph import VisionBlock, VisionEncoder
from pocketvl.export.executorch.xnnpack import load_custom_ops
from pocketvl.export.layer_plan import resolve
from pocketvl.export.layers import EMBEDDING
from pocketvl.export.modules import Linear, LMHead, linears
from pocketvl.export.progress import Progress
from pocketvl.export.sensitivity.probe import Rounded
from pocketvl.export.weights import fill_floats
from pocketvl.quant.recipe import named_recipe
from pocketvl.runtime.bundle.geometry import SpecialTokens

_ROWS = 64  # distributions compared at a time, in float64


@dataclass(frozen=True)
class Question:
    """deciding: int64, the sample's tokens whose hidden states predict a token of the answer."""

    inputs: SampleInputs
    deciding: torch.Tensor


def make_questions(
    maker: InputMaker, samples: Sequence[Sample], inputs: Sequence[SampleInputs], special: SpecialTokens
) -> list[Question]:
    """inputs: of these samples. A sample without an answer decides at its last token alone."""
    return [
        Question(made, _deciding(maker, sample, made, number, special))
        for number, (sample, made) in enumerate(zip(samples, inputs, strict=True), 1)
    ]


def _deciding(
    maker: InputMaker, sample: Sample, made: SampleInputs, number: int, special: SpecialTokens
) -> torch.Tensor:
    ids = made.text.token_ids
    if sample.answer is None:
        return torch.tensor([len(ids) - 1])
    begin = len(maker.make(replace(sample, answer=None), number).text.token_ids)
    ends = torch.isin(ids[begin:], torch.tensor(special.eos)).nonzero()
    end = begin + int(ends[0]) + 1 if len(ends) else len(ids)
    # Without a template a sample may have an answer that adds no token: then its last one decides.
    return torch.arange(min(begin, len(ids)) - 1, max(end, begin + 1) - 1).clamp_max_(len(ids) - 1)


class EagerModel:
    """units() are the steps; run() takes them from one on. Activations of all samples stand one below the
    other: float32 (all patches, width) in the vision tower, (all tokens, width) in the decoder."""

    def __init__(self, source: TensorSource, questions: Sequence[Question]) -> None:
        """Holds the whole model in float32. Raises CheckpointError."""
        load_custom_ops()
        geometry, floats = source.geometry, resolve(named_recipe("fp32"), source.geometry)
        texts = [question.inputs.text for question in questions]
        images = [image for question in questions for image in question.inputs.images]
        self._text_lengths = [len(text.token_ids) for text in texts]
        self._vision = VisionEncoder(floats)
        self._text = TextDecoder(floats, max(self._text_lengths))
        self._head = LMHead(floats)
        for graph in (self._vision, self._text, self._head):
            fill_floats(graph, source)
        self._tied = geometry.text.tie_word_embeddings
        self._table = self._head.head.weight if self._tied else source.tensor(EMBEDDING).float()
        self._patches = torch.cat([image.patches for image in images])
        self._vision_lengths = [len(image.patches) for image in images]
        self._positions = [self._vision.positions(p.rope_cos, p.rope_sin) for p in images]
        self._ropes = [(for_all_heads(text.rope_cos), for_all_heads(text.rope_sin)) for text in texts]
        self._ids = torch.cat([text.token_ids for text in texts])
        self._is_image = torch.cat([text.is_image for text in texts])
        starts = torch.tensor([0, *self._text_lengths]).cumsum(0).tolist()
        self._deciding = torch.cat(
            [question.deciding + start for question, start in zip(questions, starts, strict=False)]
        )
        blocks: list[nn.Module] = [*self._vision.blocks, *self._text.layers]
        self._embeds = 1 + geometry.vision.depth  # the unit behind which the decoder begins
        self._units = [self._vision.patch_embed, *blocks]
        self._units.insert(self._embeds, self._vision.merger)
        self._units.append(self._head)

    def __len__(self) -> int:
        """How many units there are."""
        return len(self._units)

    def linears(self, unit: int) -> list[Linear]:
        """The layers whose exchange is seen by running from this unit on."""
        found = list(linears(self._units[unit]))
        if not self._tied:
            return found
        # A tied head's rows are put in as embeddings behind the merger.
        return [*found, self._head.head] if unit == self._embeds else found if unit < len(self) - 1 else []

    @torch.no_grad()
    def step(self, unit: int, hidden: torch.Tensor) -> torch.Tensor:
        """One unit. The first reads no `hidden`; the last gives logits (deciding tokens, vocabulary)."""
        module = self._units[unit]
        if isinstance(module, VisionBlock):
            return self._vision_block(module, hidden)
        if isinstance(module, DecoderLayer):
            return self._text_layer(module, hidden)
        if isinstance(module, Linear):
            return torch.as_tensor(module(self._patches))
        if unit == self._embeds:
            return self._embed(module(hidden))
        return torch.as_tensor(self._head(self._text.norm(hidden[self._deciding])))

    def run(self, unit: int, hidden: torch.Tensor) -> torch.Tensor:
        """Logits, from what `unit` reads."""
        for index in range(unit, len(self)):
            hidden = self.step(index, hidden)
        return hidden

    @contextmanager
    def exchanged(self, leaf: Linear, rounded: Rounded) -> Iterator[None]:
        """The layer computes with other numbers as long as this lasts."""
        weight, bias = leaf.weight.data, None if leaf.bias is None else leaf.bias.data
        leaf.weight.data = rounded.weight
        if leaf.bias is not None and rounded.bias is not None:
            leaf.bias.data = rounded.bias
        try:
            yield
        finally:
            leaf.weight.data = weight
            if leaf.bias is not None and bias is not None:
                leaf.bias.data = bias

    def _vision_block(self, block: VisionBlock, hidden: torch.Tensor) -> torch.Tensor:
        parts = zip(torch.split(block.norm1(hidden), self._vision_lengths), self._positions, strict=True)
        attended = torch.cat([block.attend(part, positions) for part, positions in parts], dim=1)
        (hidden,) = block.project(attended, hidden)
        return torch.as_tensor(block.mlp(block.norm2(hidden), hidden)[0])

    def _embed(self, image_embeddings: torch.Tensor) -> torch.Tensor:
        hidden = self._table[self._ids]
        hidden[self._is_image] = image_embeddings
        return hidden

    def _text_layer(self, layer: DecoderLayer, hidden: torch.Tensor) -> torch.Tensor:
        before, cache = layer.before, self._text.caches[0]  # one for all: each sample writes it anew
        attended = attend_each(before, cache, before.norm(hidden), self._text_lengths, self._ropes)
        return torch.as_tensor(layer.after(attended[None], hidden[None])[0])


def layer_divergences(
    model: EagerModel, rounded: Mapping[str, Rounded], progress: Progress
) -> dict[str, float]:
    """Layer -> mean KL divergence in nats per token of the answers, of rounding that layer alone."""
    hidden = torch.empty(0)
    expected = model.run(0, hidden)
    found: dict[str, float] = {}
    for unit in range(len(model)):
        for leaf in model.linears(unit):
            if leaf.layer in rounded:
                progress(f"measuring {leaf.layer}", len(found) / len(rounded))
                with model.exchanged(leaf, rounded[leaf.layer]):
                    found[leaf.layer] = mean_divergence(expected, model.run(unit, hidden))
        hidden = model.step(unit, hidden)
    return found


def mean_divergence(expected: torch.Tensor, got: torch.Tensor) -> float:
    """KL(expected || got) in nats, the mean over rows. Logits (rows, vocabulary)."""
    total = 0.0
    for first in range(0, len(expected), _ROWS):
        p = expected[first : first + _ROWS].double().log_softmax(1)
        q = got[first : first + _ROWS].double().log_softmax(1)
        total += float((p.exp() * (p - q)).sum())
    return max(total, 0.0) / len(expected)
