"""AutoRound checkpoints: GPTQ or AWQ in other words, and what is neither is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pocketvl.export.checkpoint import open_checkpoint
from tests.support.packed_checkpoints import (
    Scheme,
    change_config,
    change_tensors,
    write_packed_checkpoint,
)
from tests.support.refusals import refusal

AUTO_ROUND = Scheme("auto-round", zero=8, version="auto_round:auto_gptq")


@pytest.mark.parametrize("method", ["auto-round", "intel/auto-round"])
@pytest.mark.parametrize(
    "version", ["auto_round:auto_gptq", "auto_round:gptq:exllamav2", "auto_round:gptqmodel:marlin"]
)
@pytest.mark.parametrize("zero", [8, None])
def test_auto_round(tmp_path: Path, method: str, version: str, zero: int | None) -> None:
    """The same integers as GPTQ's, without g_idx; the zero points tell its two conventions apart."""
    written = write_packed_checkpoint(tmp_path, Scheme(method, version=version, zero=zero))
    checkpoint = open_checkpoint(str(tmp_path))
    assert checkpoint.packing == "gptq"
    assert bool(checkpoint.requantized) is (zero is None)
    for name, value in written.tensors.items():
        assert torch.equal(checkpoint.tensor(name), value), name


def test_auto_round_with_the_packing_of_awq(tmp_path: Path) -> None:
    written = write_packed_checkpoint(tmp_path, Scheme("auto-round", version="auto_round:auto_awq"))
    checkpoint = open_checkpoint(str(tmp_path))
    assert checkpoint.packing == "awq"
    for name, value in written.tensors.items():
        assert torch.equal(checkpoint.tensor(name), value), name


def test_an_older_auto_round_says_backend_and_may_store_the_order(tmp_path: Path) -> None:
    written = write_packed_checkpoint(tmp_path, AUTO_ROUND)
    change_config(tmp_path, packing_format=None, backend="auto_round:gptq:exllamav2")
    name = "model.layers.0.mlp.up_proj"
    order = torch.arange(96, dtype=torch.int32) // 32
    change_tensors(tmp_path, lambda tensors: tensors.update({f"{name}.g_idx": order}))
    weight = open_checkpoint(str(tmp_path)).tensor(f"{name}.weight")
    assert torch.equal(weight, written.tensors[f"{name}.weight"])
    change_tensors(tmp_path, lambda tensors: tensors.update({f"{name}.g_idx": order.flip(0)}))
    assert "activation order" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"packing_format": "auto_round"}, "packing_format 'auto_round' cannot be read"),
        ({"packing_format": "auto_round:llm_compressor"}, "'auto_round:llm_compressor' cannot be read"),
        ({"packing_format": "auto_gptq"}, "packing_format 'auto_gptq' cannot be read"),
        ({"packing_format": None}, "packing_format 'auto_round' cannot be read"),
        ({"data_type": "mx_fp"}, "data_type 'mx_fp' for activations of 16 bits"),
        ({"act_bits": 8}, "for activations of 8 bits"),
        ({"bits": 2, "extra_config": None}, "weights of 2 bits"),
        ({"extra_config": {".*down.*": {"bits": 8}}}, "'extra_config' gives '.*down.*' a bits of its own, 8"),
        ({"extra_config": {"lm_head": {"bits": 4, "group_size": 64}}}, "a group_size of its own, 64"),
    ],
)
def test_other_configs_of_auto_round(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    write_packed_checkpoint(tmp_path, AUTO_ROUND)
    change_config(tmp_path, extra_config={"lm_head": {"bits": 16, "data_type": "float"}, "x": {"bits": 4}})
    assert open_checkpoint(str(tmp_path)).fixed_bits
    change_config(tmp_path, **values)
    message = refusal(tmp_path)
    assert said in message
    assert message.endswith(".")
