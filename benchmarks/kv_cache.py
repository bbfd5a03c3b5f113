"""What other types of KV cache cost and gain in ExecuTorch, beside the float32 one that the exporter writes.

    python benchmarks/kv_cache.py [--context 256 1024 2048 8192] [--cache int8 int8-dequantized float16]

Runs attention layers of the 2B geometry alone: the time of one decode step and of a prefill chunk at the
end of a full cache, the memory of a layer, and the error against float32. The results are in
docs/decisions/0008-int8-kv-cache.md.

Times are processor time, the least of some rounds in which the caches take turns, so that a busy machine
disturbs little. Before each call other memory is read, as a model's weights would be: the KV cache is cold.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from executorch.exir._serialize._flatbuffer_program import _flatbuffer_to_program
from make_checkpoint import GEOMETRY
from torch import nn

from pocketvl.export.executorch.operators import half_rotation
from pocketvl.export.executorch.xnnpack import load_custom_ops, lower
from pocketvl.runtime.positions import text_rope

TEXT = GEOMETRY.text
HEADS, KV_HEADS, HEAD_DIM, LAYERS = TEXT.num_heads, TEXT.num_kv_heads, TEXT.head_dim, TEXT.num_layers
CHUNK = 256
WEIGHTS = 128 << 20  # bytes read before each call; more than the processor's caches hold
ERROR_CONTEXT = 1024
BIASES = (0, 5, 20, 60)  # of the key's outlier channels
OUTLIERS = 8  # channels of the 128
BASELINE = "float32"


class FloatCache(nn.Module):
    """As in pocketvl.export.executorch.text_graph, with a cache of float32 or float16."""

    def __init__(self, context: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        empty = torch.zeros(1, context, KV_HEADS, HEAD_DIM, dtype=dtype)
        self.k_cache = nn.Buffer(empty, persistent=False)
        self.v_cache = nn.Buffer(empty.clone(), persistent=False)

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, start: int) -> torch.Tensor:
        """q (1, S, HEADS, HEAD_DIM), k and v (1, S, KV_HEADS, HEAD_DIM) float32; gives q's shape."""
        torch.ops.llama.update_cache(k.to(self.dtype), self.k_cache, start)
        torch.ops.llama.update_cache(v.to(self.dtype), self.v_cache, start)
        q = q.to(self.dtype)
        y: torch.Tensor = torch.ops.llama.custom_sdpa(q, self.k_cache, self.v_cache, start, None, 0.0, True)
        return y.float()


class Int8Rows(nn.Module):
    """int8 rows of HEAD_DIM, each with its own scale and zero point."""

    def __init__(self, context: int) -> None:
        super().__init__()
        shape = (1, context, KV_HEADS)
        self.rows = nn.Buffer(torch.zeros(*shape, HEAD_DIM, dtype=torch.int8), persistent=False)
        self.scales = nn.Buffer(torch.ones(*shape, 1), persistent=False)
        self.zeros = nn.Buffer(torch.zeros(*shape, 1, dtype=torch.int8), persistent=False)

    def update(self, values: torch.Tensor, start: int) -> None:
        """Write values (1, S, KV_HEADS, HEAD_DIM) float32 to the slots from start on."""
        rows, scales, zeros = quantize(values)
        torch.ops.llama.update_cache(rows, self.rows, start)
        torch.ops.llama.update_cache(scales, self.scales, start)
        torch.ops.llama.update_cache(zeros, self.zeros, start)

    def dequantized(self) -> torch.Tensor:
        """All slots as float32."""
        scales, zeros = self.scales.double(), self.zeros.long()
        values: torch.Tensor = torch.ops.quantized_decomposed.dequantize_per_token(
            self.rows, scales, zeros, -128, 127, torch.int8, torch.float32
        )
        return values


class Int8Cache(nn.Module):
    """llama.custom_quantized_sdpa over int8 queries, keys and values."""

    def __init__(self, context: int) -> None:
        super().__init__()
        self.k, self.v = Int8Rows(context), Int8Rows(context)

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, start: int) -> torch.Tensor:
        """As FloatCache."""
        self.k.update(k, start)
        self.v.update(v, start)
        rows, scales, zeros = quantize(q)
        keys, values = (self.k.zeros, self.k.scales), (self.v.zeros, self.v.scales)
        y: torch.Tensor = torch.ops.llama.custom_quantized_sdpa(
            *(rows, self.k.rows, self.v.rows, start, None, 0.0, True, None), *(zeros, scales, *keys, *values)
        )
        return y


class DequantizedCache(nn.Module):
    """An int8 cache of which a float32 copy is made for llama.custom_sdpa in each call."""

    def __init__(self, context: int) -> None:
        super().__init__()
        self.k, self.v = Int8Rows(context), Int8Rows(context)

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, start: int) -> torch.Tensor:
        """As FloatCache."""
        self.k.update(k, start)
        self.v.update(v, start)
        keys, values = self.k.dequantized(), self.v.dequantized()
        y: torch.Tensor = torch.ops.llama.custom_sdpa(q, keys, values, start, None, 0.0, True)
        return y


class Attention(nn.Module):
    """Layers of attention in a row, each with its cache; what one gives is the next one's query."""

    def __init__(self, cache: str, context: int, layers: int) -> None:
        super().__init__()
        self.context = context
        self.layers = nn.ModuleList(build_cache(cache, context) for _ in range(layers))

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, position: torch.Tensor
    ) -> torch.Tensor:
        start = position[0].item()
        torch._check(start >= 0)
        torch._check(start + q.shape[1] <= self.context)
        for layer in self.layers:
            q = layer(q, k, v, start)
        return q


def build_cache(name: str, context: int) -> nn.Module:
    if name == "int8":
        return Int8Cache(context)
    if name == "int8-dequantized":
        return DequantizedCache(context)
    return FloatCache(context, torch.float16 if name == "float16" else torch.float32)


def quantize(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """int8 rows, float32 scales and int8 zero points of the last axis, asymmetric, as ExecuTorch does it."""
    scales, zeros = torch.ops.quantized_decomposed.choose_qparams_per_token_asymmetric(values, torch.int8)
    rows = torch.ops.quantized_decomposed.quantize_per_token(values, scales, zeros, -128, 127, torch.int8)
    return rows, scales.float(), zeros.to(torch.int8)


def export(cache: str, context: int, layers: int, path: Path) -> None:
    example = (*inputs(np.random.default_rng(0), 2), torch.zeros(1, dtype=torch.int64))
    tokens = torch.export.Dim("tokens", min=1, max=CHUNK)
    shapes = ({1: tokens}, {1: tokens}, {1: tokens}, None)
    with torch.no_grad():
        model = Attention(cache, context, layers)
        program = torch.export.export(model, example, dynamic_shapes=shapes, strict=False)
    lower({"forward": program}, {}, path)


def inputs(random: np.random.Generator, tokens: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    shapes = [(1, tokens, heads, HEAD_DIM) for heads in (HEADS, KV_HEADS, KV_HEADS)]
    q, k, v = (torch.from_numpy(random.standard_normal(shape, np.float32)) for shape in shapes)
    return q, k, v


def planned_bytes(path: Path) -> int:
    """Memory that the program's only method asks for: caches and what passes between operators."""
    (plan,) = _flatbuffer_to_program(path.read_bytes()).execution_plan
    return sum(plan.non_const_buffer_sizes)


def run(module: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, position: int) -> torch.Tensor:
    arguments = [q, k, v, torch.tensor([position])]
    output: torch.Tensor = module.run_method("forward", arguments, clone_outputs=True)[0]
    return output


def least_times(modules: dict[str, Any], context: int, tokens: int, seconds: float) -> dict[str, float]:
    """Processor seconds of a call on the cache's last slots, modules taking turns."""
    arguments = inputs(np.random.default_rng(1), tokens)
    weights = np.ones(WEIGHTS // 4, np.float32)
    times: dict[str, list[float]] = {name: [] for name in modules}
    ends = time.process_time() + seconds
    while time.process_time() < ends or len(times[BASELINE]) < 3:
        for name, module in modules.items():
            weights.sum()
            began = time.process_time()
            run(module, *arguments, context - tokens)
            times[name].append(time.process_time() - began)
    return {name: min(values) for name, values in times.items()}


def biased_chunks(bias: float) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Chunks of ERROR_CONTEXT tokens: normal values; keys with outlier channels, then rotated as text is."""
    random = np.random.default_rng(2)
    q, k, v = inputs(random, ERROR_CONTEXT)
    channels = random.choice(HEAD_DIM, OUTLIERS, replace=False)
    k[..., channels] += torch.from_numpy(random.choice([-bias, bias], OUTLIERS).astype(np.float32))
    ids = np.tile(np.arange(ERROR_CONTEXT), (3, 1))
    cos, sin = (torch.from_numpy(part)[:, None] for part in text_rope(ids, TEXT))
    rotation = half_rotation(HEAD_DIM)
    q, k = (x * cos + nn.functional.linear(x, rotation) * sin for x in (q, k))
    return list(zip(*(torch.split(x, CHUNK, dim=1) for x in (q, k, v)), strict=True))


def errors(modules: dict[str, Any], bias: float) -> dict[str, float]:
    """|y - y32| / |y32| over the outputs of ERROR_CONTEXT tokens, y32 from the float32 cache."""
    outputs: dict[str, list[torch.Tensor]] = {name: [] for name in modules}
    for index, chunk in enumerate(biased_chunks(bias)):
        for name, module in modules.items():
            outputs[name].append(run(module, *chunk, index * CHUNK))
    whole = {name: torch.cat(parts, dim=1) for name, parts in outputs.items()}
    wanted = whole[BASELINE]
    return {name: float((y - wanted).norm() / wanted.norm()) for name, y in whole.items()}


def print_times(caches: list[str], contexts: list[int], seconds: float, folder: Path, runtime: Any) -> None:
    print("| context | tokens |" + "".join(f" {name} |" for name in caches))
    print("|---" * (len(caches) + 2) + "|")
    for context in contexts:
        modules = load(caches, context, folder, runtime)
        for tokens in (1, min(CHUNK, context)):
            found = least_times(modules, context, tokens, seconds)
            cells = [f"{found[n] * 1e3:.3g} ms ({found[n] / found[BASELINE]:.2f})" for n in caches]
            print(f"| {context} | {tokens} | " + " | ".join(cells) + " |", flush=True)


def print_memory(caches: list[str], context: int, folder: Path) -> None:
    print(f"\n| at a context of {context} | a layer more | {LAYERS} layers | beside the layers |")
    print("|---" * 4 + "|")
    for name in caches:
        two, three = folder / f"{name}-2.pte", folder / f"{name}-3.pte"
        export(name, context, 2, two)  # one layer alone would keep no keys and values for the next
        export(name, context, 3, three)
        layer = planned_bytes(three) - planned_bytes(two)
        rest = planned_bytes(two) - 2 * layer
        print(f"| {name} | {layer:,} B | {layer * LAYERS / 1e6:.1f} MB | {rest / 1e6:.1f} MB |", flush=True)


def print_errors(caches: list[str], folder: Path, runtime: Any) -> None:
    print(f"\n| relative error, bias of {OUTLIERS} channels |" + "".join(f" {name} |" for name in caches))
    print("|---" * (len(caches) + 1) + "|")
    modules = load(caches, ERROR_CONTEXT, folder, runtime)
    for bias in BIASES:
        found = errors(modules, bias)
        print(f"| {bias} |" + "".join(f" {found[name]:.2e} |" for name in caches), flush=True)


def load(caches: list[str], context: int, folder: Path, runtime: Any) -> dict[str, Any]:
    modules = {}
    for name in caches:
        path = folder / f"{name}-{context}.pte"
        export(name, context, 1, path)
        modules[name] = runtime._load_for_executorch(str(path))
    return modules


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--context", type=int, nargs="+", default=[256, 1024, 2048, 8192])
    choices = ("int8", "int8-dequantized", "float16")
    parser.add_argument("--cache", nargs="+", choices=choices, default=choices[:2])
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="processor time a measurement takes at least"
    )
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    load_custom_ops()
    import executorch.kernels.quantized  # noqa: F401  registers quantize_per_token.out and its like
    import torch.ao.quantization.fx._decomposed  # noqa: F401  registers quantized_decomposed for tracing
    from executorch.extension.pybindings import _portable_lib as runtime

    runtime._unsafe_reset_threadpool(options.threads)
    caches = [BASELINE, *options.cache]
    with tempfile.TemporaryDirectory() as folder:
        print_times(caches, options.context, options.seconds, Path(folder), runtime)
        print_memory(caches, max(options.context), Path(folder))
        print_errors(caches, Path(folder), runtime)


if __name__ == "__main__":
    main()
