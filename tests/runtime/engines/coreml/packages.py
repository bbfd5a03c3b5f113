"""Saved packages for tests, made by coremltools."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools as ct
import coremltools.optimize.coreml as cto
import numpy as np
import torch

from pocketvl.runtime.engines.coreml.layout import model_path
from pocketvl.runtime.engines.coreml.protobuf import read_model

WIDTH, SLOTS, LAYERS = 32, 64, 2

TARGET = ct.target.iOS18


class CachedAttention(torch.nn.Module):
    """Two layers of attention over one cache; T tokens go to slots start .. start+T-1.

    Weights are 64ths of -7..7 with a 7 in each row, so that 4 bits hold them exactly.
    """

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.linears = torch.nn.ModuleList(torch.nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS))
        for linear in self.linears:
            steps = torch.randint(-7, 8, (WIDTH, WIDTH), generator=generator)
            steps[:, 0] = 7
            linear.weight.data = steps / 64
            linear.bias.data = torch.randn(WIDTH, generator=generator) / 4
        self.k_cache = torch.nn.Buffer(torch.zeros(LAYERS, 1, SLOTS, WIDTH))

    def forward(self, x: torch.Tensor, start: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """x (1, T, WIDTH), start (1,), mask (T, SLOTS)."""
        first = start[0]
        for layer, linear in enumerate(self.linears):
            h = linear(x)[:, None]
            self.k_cache[layer : layer + 1, :, first : first + x.shape[1]] = h
            keys = self.k_cache[layer : layer + 1]
            x = x + torch.nn.functional.scaled_dot_product_attention(h, keys, keys, attn_mask=mask)[:, 0]
        return x


def seen(tokens: int, start: int) -> np.ndarray:
    """The mask of T tokens from slot `start` on, float16."""
    visible = np.arange(SLOTS) <= start + np.arange(tokens)[:, None]
    return np.where(visible, 0, -3e4).astype(np.float16)


def save_stateful(path: Path, tokens: tuple[int, ...], *, int4: bool) -> None:
    """CachedAttention as functions tokens_1, tokens_4 ... that share weights and a state k_cache."""
    descriptor = ct.utils.MultiFunctionDescriptor()
    for count in tokens:
        single = path.with_name(f"{path.stem}_{count}.mlpackage")
        _stateful(count, int4).save(str(single))
        descriptor.add_function(str(single), "main", f"tokens_{count}")
    descriptor.default_function_name = f"tokens_{tokens[0]}"
    ct.utils.save_multifunction(descriptor, str(path))


def _stateful(tokens: int, int4: bool) -> Any:
    example = (torch.zeros(1, tokens, WIDTH), torch.zeros(1, dtype=torch.int32), torch.zeros(tokens, SLOTS))
    cache = ct.TensorType(shape=(LAYERS, 1, SLOTS, WIDTH), dtype=np.float16)
    model = ct.convert(
        torch.jit.trace(CachedAttention().eval(), example),
        inputs=[
            ct.TensorType("x", example[0].shape, dtype=np.float16),
            ct.TensorType("start", (1,), dtype=np.int32),
            ct.TensorType("mask", example[2].shape, dtype=np.float16),
        ],
        outputs=[ct.TensorType("y", dtype=np.float16)],
        states=[ct.StateType(wrapped_type=cache, name="k_cache")],
        minimum_deployment_target=TARGET,
        skip_model_load=True,
    )
    if not int4:
        return model
    how = cto.OpLinearQuantizerConfig(
        mode="linear_symmetric", dtype="int4", granularity="per_block", block_size=32, weight_threshold=0
    )
    return cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config=how))


def save_program(program: Any, path: Path, *, fp16: bool = False) -> Path:
    """A program of coremltools' Builder as a package, as it stands or with float16 inside."""
    model = ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=TARGET,
        compute_precision=ct.precision.FLOAT16 if fp16 else ct.precision.FLOAT32,
        skip_model_load=True,
    )
    model.save(str(path))
    return path


def changed(source: Path, target: Path, change: Callable[[Any], None]) -> Path:
    """A copy of a package whose model message went through `change`."""
    shutil.copytree(source, target)
    file = model_path(target)
    model = read_model(file)
    change(model)
    file.write_bytes(model.SerializeToString())
    return target
