"""llama.cpp's decoder of a GGUF file, timed as a bundle's is; beside_llama_cpp.py runs it by turns.

    llama/bin/python benchmarks/llama_cpp_decoder.py MODEL.gguf --threads 2

The environment is made as write_gguf.py says. Weights are read as the build likes best: Q4_0 is put into
another order while it is loaded, where the processor has a kernel for that. Logits are taken after the last
token of the prompt and after each step.
"""

import argparse
import ctypes
import json
import statistics
import sys
import time
from pathlib import Path

import gguf
import llama_cpp
import numpy as np

PROMPT, STEPS, CONTEXT = 512, 64, 2048  # tokens, as `pocketvl bench` takes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    # The library's own words for what it was compiled for, and for what it does with the weights.
    print(llama_cpp.llama_print_system_info().decode(), file=sys.stderr)
    llama_cpp.llama_backend_init()
    model_parameters = llama_cpp.llama_model_default_params()
    model = llama_cpp.llama_model_load_from_file(str(options.model).encode(), model_parameters)
    if not model:
        raise SystemExit(f"llama.cpp could not load {options.model}; its messages are above.")
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx, parameters.n_batch, parameters.n_ubatch = CONTEXT, PROMPT, PROMPT
    parameters.n_threads = parameters.n_threads_batch = options.threads
    context = llama_cpp.llama_init_from_model(model, parameters)
    vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    runs = [measure(context, vocabulary, seed) for seed in range(options.repeats)]
    made = {
        "prefill": max(rate for rate, _ in runs),
        "decode": 1 / statistics.median(step for _, steps in runs for step in steps),
        "bytes_per_weight": bytes_per_weight(options.model),
    }
    print(json.dumps(made))


def measure(context: ctypes.c_void_p, vocabulary: int, seed: int) -> tuple[float, list[float]]:
    """Tokens a second of reading PROMPT random tokens at once, and the seconds of STEPS more, one by one."""
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
    ids = np.random.default_rng(seed).integers(0, vocabulary, PROMPT + STEPS).astype(np.int32)
    prefill = PROMPT / feed(context, ids[:PROMPT])
    return prefill, [feed(context, ids[at : at + 1]) for at in range(PROMPT, PROMPT + STEPS)]


def feed(context: ctypes.c_void_p, ids: np.ndarray) -> float:
    """Seconds until the logits after the last of these tokens are there."""
    tokens = (llama_cpp.llama_token * len(ids))(*ids.tolist())
    began = time.perf_counter()
    failed = llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, len(ids)))
    llama_cpp.llama_get_logits_ith(context, -1)  # waits for what is still being computed
    seconds = time.perf_counter() - began
    if failed:
        raise SystemExit(f"llama.cpp could not decode {len(ids)} tokens; its messages are above.")
    return seconds


def bytes_per_weight(model: Path) -> float:
    """Of all matrices, which are what decoding one token reads."""
    matrices = [tensor for tensor in gguf.GGUFReader(model).tensors if len(tensor.shape) > 1]
    return float(sum(one.n_bytes for one in matrices) / sum(one.n_elements for one in matrices))


if __name__ == "__main__":
    main()
