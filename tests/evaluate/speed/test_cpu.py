"""Which kernels a processor's features select, from what systems say of it."""

import pytest

from pocketvl.evaluate.speed.cpu import advice, features_of, kernels
from pocketvl.runtime import names

INTEL = """processor\t: 0
model name\t: Some avx_vnni of a name
flags\t\t: fpu sse4_1 fma avx avx2 avx512f avx512bw avx512_vnni amx_int8
"""
OLDER = "flags\t\t: fpu sse4_1 fma avx avx2\n"
HYBRID = "flags\t\t: fpu avx avx2 avx_vnni gfni\n"
PHONE = "processor\t: 0\nFeatures\t: fp asimd atomics asimddp i8mm bf16\n"
OLDER_PHONE = "Features\t: fp asimd atomics asimddp\n"
MAC = "hw.optional.arm.FEAT_DotProd: 1\nhw.optional.arm.FEAT_I8MM: 0\nhw.optional.neon: 1\n"
INTEL_MAC = "machdep.cpu.features: FPU SSE4.1 AVX1.0\nmachdep.cpu.leaf7_features: AVX2 BMI2\n"


@pytest.mark.parametrize(
    ("text", "features"),
    [
        (OLDER, {"avx2"}),
        (HYBRID, {"avx2", "avx_vnni"}),
        (PHONE, {"dotprod", "i8mm"}),
        (MAC, {"dotprod"}),
        (INTEL_MAC, {"avx2"}),
        ("", set()),
    ],
)
def test_features_are_found_by_whole_words(text: str, features: set[str]) -> None:
    assert features_of(text) == features


@pytest.mark.parametrize(
    ("text", "executorch", "onnx"),
    [
        (INTEL, "XNNPACK's AVX-512 VNNI", "onnxruntime's AVX-512 VNNI"),
        (HYBRID, "XNNPACK's AVX2", "onnxruntime's AVX-VNNI"),  # which ExecuTorch's build leaves out
        (OLDER, "XNNPACK's AVX2", "onnxruntime's AVX2"),
        (PHONE, "XNNPACK's i8mm", "onnxruntime's i8mm"),
        (OLDER_PHONE, "XNNPACK's dot product", "onnxruntime's dot product"),
    ],
)
def test_each_runtime_takes_the_best_it_was_built_with(text: str, executorch: str, onnx: str) -> None:
    features = features_of(text)
    assert kernels(names.EXECUTORCH, features) == f"{executorch} kernels"
    assert kernels(names.ONNX, features) == f"{onnx} kernels"


def test_nothing_is_said_of_what_is_not_known() -> None:
    assert kernels(names.EXECUTORCH, frozenset()) is None
    assert kernels(names.COREML, features_of(PHONE)) is None


@pytest.mark.parametrize(
    ("target", "bits", "text", "advised"),
    [
        (names.EXECUTORCH, {4}, OLDER, True),
        (names.EXECUTORCH, {4}, INTEL, False),
        (names.EXECUTORCH, {8}, OLDER, False),
        (names.EXECUTORCH, {4}, PHONE, False),
        (names.ONNX, {4}, OLDER, False),
    ],
)
def test_the_other_target_is_named_where_it_was_faster(
    target: str, bits: set[int], text: str, advised: bool
) -> None:
    assert (advice(target, frozenset(bits), features_of(text)) is not None) == advised
