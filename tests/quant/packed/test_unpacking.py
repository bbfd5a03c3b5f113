"""Unpacking against a packer that shifts every code on its own."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketvl.quant.packed.affine import AffineLinear
from pocketvl.quant.packed.awq import awq_codes, awq_grid, awq_shapes
from pocketvl.quant.packed.gptq import check_order, gptq_codes, gptq_grid, gptq_shapes
from pocketvl.runtime.errors import CheckpointError
from tests.support.packed_checkpoints import Layer, Scheme, pack_awq, pack_gptq, random_layer


def unpack_gptq(layer: Layer, scheme: Scheme) -> AffineLinear:
    packed = pack_gptq(layer, scheme)
    in_features = layer.codes.shape[1]
    grid = gptq_grid(
        packed["qzeros"].numpy(),
        packed["scales"].float().numpy(),
        scheme.bits,
        layer.group_size,
        1 if scheme.version == "gptq" else 0,
        in_features,
    )
    return AffineLinear(gptq_codes(packed["qweight"].numpy(), scheme.bits), grid)


def unpack_awq(layer: Layer) -> AffineLinear:
    packed = {name: value.numpy() for name, value in pack_awq(layer).items()}
    scales = packed["scales"].astype(np.float32)
    grid = awq_grid(packed["qzeros"], scales, layer.group_size, layer.codes.shape[1])
    return AffineLinear(awq_codes(packed["qweight"]), grid)


@settings(max_examples=60)
@given(
    out_features=st.integers(1, 6).map(lambda words: 8 * words),
    in_features=st.integers(1, 8).map(lambda words: 16 * words),
    bits=st.sampled_from([4, 8]),
    group_size=st.sampled_from([-1, 16, 32, 48, 128]),
    version=st.sampled_from(["gptq", "gptq_v2"]),
    symmetric=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_gptq(
    out_features: int,
    in_features: int,
    bits: int,
    group_size: int,
    version: str,
    symmetric: bool,
    seed: int,
) -> None:
    zero = 2 ** (bits - 1) if symmetric else None
    scheme = Scheme("gptq", bits, group_size, zero, version)
    layer = random_layer(out_features, in_features, scheme, seed)
    unpacked = unpack_gptq(layer, scheme)
    assert np.array_equal(unpacked.codes, layer.codes.numpy())
    # A product of float16 and a small integer is exact in float32.
    assert np.array_equal(unpacked.dequantize(), layer.weight().float().numpy())
    quantized = unpacked.symmetric()
    if symmetric:
        assert quantized is not None
        assert np.array_equal(quantized.integers, layer.codes.numpy() - zero)
        assert np.array_equal(quantized.dequantize(), unpacked.dequantize())
    else:
        assert (quantized is not None) == bool((layer.zeros == 2 ** (bits - 1)).all())


@settings(max_examples=60)
@given(
    out_features=st.integers(1, 6).map(lambda words: 8 * words),
    groups=st.integers(1, 4),
    group_size=st.sampled_from([16, 32, 64]),
    seed=st.integers(0, 2**20),
)
def test_awq(out_features: int, groups: int, group_size: int, seed: int) -> None:
    layer = random_layer(out_features, groups * group_size, Scheme("awq", 4, group_size), seed)
    unpacked = unpack_awq(layer)
    assert np.array_equal(unpacked.codes, layer.codes.numpy())
    assert np.array_equal(unpacked.dequantize(), layer.weight().float().numpy())


def test_a_word_by_hand() -> None:
    """Inputs 0..7 hold the codes 1..8; in AWQ's word the outputs 0..7 do."""
    assert gptq_codes(np.array([[-0x789ABCDF]], np.int32), 4).tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]
    assert gptq_codes(np.array([[0x04030201]], np.int32), 8).tolist() == [[1, 2, 3, 4]]
    # Nibbles, lowest first: outputs 0, 2, 4, 6, 1, 3, 5, 7.
    assert awq_codes(np.array([[-0x79BD8ACF]], np.int32)).T.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]


@pytest.mark.parametrize(("version", "zero"), [("gptq", 0), ("gptq", 15), ("gptq_v2", 0), ("gptq_v2", 15)])
def test_zero_points_at_the_ends_of_the_range(version: str, zero: int) -> None:
    scheme = Scheme("gptq", 4, 32, zero, version)
    layer = random_layer(8, 64, scheme, 0)
    assert np.array_equal(unpack_gptq(layer, scheme).dequantize(), layer.weight().float().numpy())


def test_the_lowest_integer_of_eight_bits_survives() -> None:
    scheme = Scheme("gptq", 8, -1, 128)
    quantized = unpack_gptq(random_layer(8, 64, scheme, 0), scheme).symmetric()
    assert quantized is not None
    assert quantized.integers.min() == -128


def test_a_scale_of_zero_is_a_group_of_zeros() -> None:
    scheme = Scheme("gptq", 4, 32, 8)
    layer = random_layer(8, 64, scheme, 0)
    layer.scales[3, 1] = 0
    quantized = unpack_gptq(layer, scheme).symmetric()
    assert quantized is not None
    assert np.array_equal(quantized.dequantize(), layer.weight().float().numpy())
    assert not quantized.integers[3, 32:].any()


def test_a_scale_below_zero_has_no_symmetric_form() -> None:
    scheme = Scheme("gptq", 4, 32, 8, scale_sign=-1.0)
    assert unpack_gptq(random_layer(8, 64, scheme, 0), scheme).symmetric() is None


def test_order_of_the_inputs() -> None:
    check_order(np.arange(96, dtype=np.int32) // 32, 32, "x")
    check_order(np.zeros(96, np.int32), 128, "x")
    shuffled = np.arange(96, dtype=np.int32) // 32
    shuffled[[0, 95]] = shuffled[[95, 0]]
    with pytest.raises(CheckpointError, match=r"layers\.3\.q_proj\.g_idx .* desc_act=False"):
        check_order(shuffled, 32, "layers.3.q_proj")


def test_shapes() -> None:
    layer = random_layer(16, 160, Scheme("gptq", 4, 128), 0)
    packed = pack_gptq(layer, Scheme("gptq", 4, 128))
    assert gptq_shapes(16, 160, 4, 128) == {name: tuple(value.shape) for name, value in packed.items()}
    layer = random_layer(16, 160, Scheme("awq", 4, 32), 0)
    assert awq_shapes(16, 160, 32) == {name: tuple(value.shape) for name, value in pack_awq(layer).items()}
    with pytest.raises(ValueError, match="words"):
        gptq_shapes(12, 160, 4, 32)
    with pytest.raises(ValueError, match="groups"):
        awq_shapes(16, 160, 64)


def test_the_packer_itself() -> None:
    """Every code can be read back from its bits."""
    scheme = Scheme("gptq", 4, 32, 8)
    layer = random_layer(8, 32, scheme, 5)
    qweight = pack_gptq(layer, scheme)["qweight"]
    read = [[(int(qweight[i // 8, o]) >> (4 * (i % 8))) % 16 for i in range(32)] for o in range(8)]
    assert torch.equal(torch.tensor(read), layer.codes)
