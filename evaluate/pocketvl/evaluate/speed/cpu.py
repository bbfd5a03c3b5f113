"""What this machine's processor can do with quantized weights, and which kernels the runtimes pick for it.

Both choose when they load a model: XNNPACK of ExecuTorch 1.4.1 by src/configs/gemm-config.c, built without
AVX-VNNI and GFNI (backends/xnnpack/cmake/Dependencies.cmake); onnxruntime's MatMulNBits of accuracy_level 4
by core/mlas/lib/platform.cpp. See docs/decisions/0022-kernels.md.
"""

import platform
import subprocess
from pathlib import Path

from pocketvl.runtime import names

# Our name of a feature, and the words by which Linux or macOS gives it.
_WORDS = {
    "avx2": ("avx2",),
    "avx_vnni": ("avx_vnni",),
    "avx512": ("avx512bw",),
    "avx512_vnni": ("avx512_vnni", "avx512vnni"),
    "dotprod": ("asimddp", "hw.optional.arm.FEAT_DotProd"),
    "i8mm": ("i8mm", "hw.optional.arm.FEAT_I8MM"),
}

# The first whose feature is there is taken.
_KERNELS = {
    names.EXECUTORCH: (
        ("avx512_vnni", "XNNPACK's AVX-512 VNNI kernels"),
        ("avx2", "XNNPACK's AVX2 kernels"),
        ("i8mm", "XNNPACK's i8mm kernels"),
        ("dotprod", "XNNPACK's dot product kernels"),
    ),
    names.ONNX: (
        ("avx512_vnni", "onnxruntime's AVX-512 VNNI kernels"),
        ("avx512", "onnxruntime's AVX-512 kernels"),
        ("avx_vnni", "onnxruntime's AVX-VNNI kernels"),
        ("avx2", "onnxruntime's AVX2 kernels"),
        ("i8mm", "onnxruntime's i8mm kernels"),
        ("dotprod", "onnxruntime's dot product kernels"),
    ),
}

# Measured with the 2B model's int4 on a machine with AVX2 and no VNNI, tokens a second of decoding.
_ON_AVX2 = (
    "On a machine with AVX2 and no VNNI the 2B model's int4 decoded 15.0 tok/s in onnxruntime and 11.3 in"
    " ExecuTorch; `pocketvl bench` with both bundles says which is faster here."
)


def cpu_features() -> frozenset[str]:
    """Of avx2, avx_vnni, avx512, avx512_vnni, dotprod and i8mm those that are there; empty where the system
    does not say."""
    try:
        return features_of(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return features_of(_sysctl()) if platform.system() == "Darwin" else frozenset()


def features_of(text: str) -> frozenset[str]:
    """text: /proc/cpuinfo, or what `sysctl` prints of the same."""
    present = set()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip().startswith("hw.optional."):
            present |= {key.strip()} if value.strip() == "1" else set()
        else:
            present |= set(value.lower().split())
    return frozenset(name for name, words in _WORDS.items() if present.intersection(words))


def kernels(target: str, features: frozenset[str]) -> str | None:
    """What the target's runtime multiplies quantized weights with; None where that is not known."""
    fitting = (kernel for feature, kernel in _KERNELS.get(target, ()) if feature in features)
    return next(fitting, None)


def advice(target: str, bits: frozenset[int], features: frozenset[str]) -> str | None:
    """A sentence where another target decoded faster with the same kernels; None else.

    bits: of the decoder's layers.
    """
    in_avx2 = "avx2" in features and "avx512_vnni" not in features
    return _ON_AVX2 if in_avx2 and target == names.EXECUTORCH and 4 in bits else None


def _sysctl() -> str:
    names_ = ("hw.optional", "machdep.cpu.features", "machdep.cpu.leaf7_features")
    done = subprocess.run(["/usr/sbin/sysctl", *names_], capture_output=True, text=True, check=False)
    return done.stdout
