"""The measurement of recipes on real text: its checkpoint, its texts, and a run with a small random model."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from benchmarks import real_text
from benchmarks.held_out_text import pieces, split_topics, write_lines
from benchmarks.real_text import Comparison, EagerText, Run, perplexity
from benchmarks.smollm_checkpoint import Llama, geometry_of, language_tensors, write_checkpoint
from pocketvl.export.calibration.samples import load_samples
from pocketvl.export.checkpoint import open_checkpoint
from pocketvl.export.layer_plan import resolve
from pocketvl.quant.recipe import Calibration, named_recipe

WIDTH, HEADS, KV_HEADS, FFN, LAYERS = 64, 4, 2, 96, 2
HEAD = WIDTH // HEADS


@pytest.fixture
def llama() -> Llama:
    """As a GGUF file of two small layers would be read."""
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> torch.Tensor:
        return 0.1 * torch.randn(shape, generator=generator)

    words = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *map(chr, range(97, 123)), "ab"]
    tensors = {"token_embd.weight": 5 * random(len(words), WIDTH), "output_norm.weight": 1 + random(WIDTH)}
    for index in range(LAYERS):
        shapes = {
            "attn_q": (WIDTH, WIDTH),
            "attn_k": (KV_HEADS * HEAD, WIDTH),
            "attn_v": (KV_HEADS * HEAD, WIDTH),
            "attn_output": (WIDTH, WIDTH),
            "ffn_gate": (FFN, WIDTH),
            "ffn_up": (FFN, WIDTH),
            "ffn_down": (WIDTH, FFN),
        }
        tensors |= {f"blk.{index}.{name}.weight": 3 * random(*shape) for name, shape in shapes.items()}
        tensors |= {f"blk.{index}.{name}.weight": 1 + random(WIDTH) for name in ("attn_norm", "ffn_norm")}
    fields = {
        "llama.embedding_length": WIDTH,
        "llama.block_count": LAYERS,
        "llama.feed_forward_length": FFN,
        "llama.context_length": 128,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 10000.0,
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.token_type": [3, 3, 3, *[1] * (len(words) - 3)],
    }
    return Llama(fields, tensors)


def test_a_checkpoint_of_a_llama_opens_and_talks(llama: Llama, tmp_path: Path) -> None:
    write_checkpoint(llama, tmp_path / "model")
    checkpoint = open_checkpoint(str(tmp_path / "model"))
    assert checkpoint.geometry == geometry_of(llama)
    assert checkpoint.chat
    tokenizer = Tokenizer.from_file(str(checkpoint.tokenizer_file))
    assert tokenizer.encode("<|im_start|>ab<|image_pad|>").ids == [1, 29, checkpoint.special_tokens.image_pad]
    assert checkpoint.special_tokens.eos == (2, 0)


def test_factors_change_the_weights_and_not_the_function(llama: Llama, tmp_path: Path) -> None:
    write_checkpoint(llama, tmp_path / "off", spread=0.25)
    write_checkpoint(llama, tmp_path / "on", spread=0.0)
    off, on = (open_checkpoint(str(tmp_path / name)) for name in ("off", "on"))
    plan = resolve(named_recipe("fp32"), on.geometry)
    ids = tuple(range(3, 20))
    ours, theirs = (
        EagerText(plan, each, 32, weights=False, activations=False).logits(ids) for each in (off, on)
    )
    assert np.allclose(ours, theirs, atol=1e-4)
    assert theirs.std() > 0.1
    for name, tensor in language_tensors(llama, on.geometry.text).items():
        assert torch.equal(on.tensor(name), tensor)
        moved = name.endswith("weight") and ".layers." in name and not name.endswith(("q_norm", "k_norm"))
        assert torch.allclose(off.tensor(name), tensor) is not moved


def test_heads_are_rotated_as_the_llama_rotates_them(llama: Llama) -> None:
    """GGUF turns the pairs (0, 1), (2, 3) ..; Qwen2 the pairs (0, half), (1, half + 1) .."""
    text = geometry_of(llama).text
    weight = language_tensors(llama, text)["model.layers.0.self_attn.q_proj.weight"]
    theirs = llama.tensors["blk.0.attn_q.weight"]
    for head in range(HEADS):
        for pair in range(HEAD // 2):
            for side in (0, 1):
                row = head * HEAD + pair + side * HEAD // 2
                assert torch.equal(weight[row], theirs[head * HEAD + 2 * pair + side])


def test_held_out_topics_share_no_paragraph_with_the_others() -> None:
    training, held_out = split_topics()
    apart = [{p for document in part for p in document.split("\n\n")} for part in (training, held_out)]
    assert not apart[0] & apart[1]
    sizes = [sum(map(len, part)) for part in (training, held_out)]
    assert min(sizes) > 50_000


def test_pieces_are_of_as_many_documents_as_there_are(llama: Llama, tmp_path: Path) -> None:
    write_checkpoint(llama, tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(tmp_path / "model" / "tokenizer.json"))
    found = pieces(tokenizer, ["c" * 25, "d" * 9, "e" * 12], 3, 10)
    assert [tokenizer.decode(ids) for ids in found] == ["c" * 10, "e" * 10, "c" * 10]
    with pytest.raises(SystemExit, match="only 3 pieces of 10 tokens, not 4"):
        pieces(tokenizer, ["c" * 25, "d" * 9, "e" * 12], 4, 10)
    write_lines(tokenizer, ["c" * 10, "d" * 6], 6, tmp_path / "lines.jsonl")
    lines = [sample.prompt for sample in load_samples(Calibration(str(tmp_path / "lines.jsonl"), 3))]
    assert sorted(lines) == ["c" * 4, "c" * 6, "d" * 6]


def test_perplexity_of_even_odds_is_their_number() -> None:
    logits = np.zeros((4, 7), np.float32)
    assert perplexity([logits, logits], [(1, 2, 3, 4), (6, 5, 4, 3)]) == pytest.approx(7)
    sure = np.full((2, 7), -50, np.float32)
    sure[0, 3] = 50
    assert perplexity([sure], [(0, 3)]) == pytest.approx(1)
    assert perplexity([sure], [(0, 2)]) == pytest.approx(math.exp(100))


def test_weights_and_activations_are_told_apart(llama: Llama, tmp_path: Path) -> None:
    write_checkpoint(llama, tmp_path / "model")
    checkpoint = open_checkpoint(str(tmp_path / "model"))
    comparison = Comparison(checkpoint, {"letters": [tuple(range(3, 29))]}, 1)
    eight, four = (Run(checkpoint, tmp_path, named_recipe(name), None) for name in ("int8", "int4-small"))
    weights = [comparison.weights_alone(run)["letters"] for run in (eight, four)]
    assert 0 < 10 * weights[0] < weights[1]
    activations = [comparison.activations_alone(run)["letters"] for run in (eight, four)]
    assert 0 < activations[0] < activations[1] < weights[1]  # the first is rotated


@pytest.mark.slow
def test_a_run_prints_a_row_for_each_bundle(
    llama: Llama, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(llama, tmp_path / "checkpoint")
    words = ["--work", str(tmp_path), "--recipe", "int4", "--method", "gptq", "--target", "onnx"]
    words += ["--pieces", "2", "--tokens", "64", "--calibration-samples", "16"]
    monkeypatch.setattr(sys, "argv", ["real_text.py", *words])
    real_text.main()
    table = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    (got,) = (dict(zip(table[0], cells, strict=True)) for cells in table[3:])
    assert (got["recipe"], got["method"], got["calibration"]) == ("int4", "gptq", "topics")
    assert float(got["perplexity"]) > 1
