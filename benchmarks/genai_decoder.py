"""onnxruntime-genai's decoder of the same geometry and bits; beside_genai.py runs it in turn with bundles.

    python -m venv genai && genai/bin/pip install onnxruntime-genai transformers torch onnx onnx_ir
    genai/bin/python -m onnxruntime_genai.models.builder -i TEXT -o genai-int4 -p int4 -e cpu -c cache
    genai/bin/python benchmarks/genai_decoder.py genai-int4 --threads 2

TEXT is a folder with a Qwen2-VL checkpoint's weights and a config.json of model_type qwen2: the builder knows
no Qwen2-VL. What it writes has 4 bits in groups of 32 everywhere, the head included.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime_genai

PROMPT, STEPS, CONTEXT = 512, 64, 2048  # tokens, as `pocketvl bench` takes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="folder that onnxruntime-genai's builder wrote")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    set_threads(options.model / "genai_config.json", options.threads)
    model = onnxruntime_genai.Model(str(options.model))
    runs = [measure(model, seed) for seed in range(options.repeats)]
    unit = 1 if sys.platform == "darwin" else 1024
    prefill = max(rate for rate, _ in runs)
    decode = 1 / statistics.median(step for _, steps in runs for step in steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if options.json:
        print(json.dumps({"prefill": prefill, "decode": decode, "peak_rss": peak}))
        return
    print(f"prefill {prefill:.1f} tok/s, best of {len(runs)}")
    print(f"decode {decode:.1f} tok/s, median of {STEPS} steps of each")
    print(f"peak RSS {peak / 1e9:.2f} GB")


def set_threads(path: Path, threads: int) -> None:
    config = json.loads(path.read_text())
    config["model"]["decoder"]["session_options"]["intra_op_num_threads"] = threads
    path.write_text(json.dumps(config, indent=1))


def measure(model: Any, seed: int) -> tuple[float, list[float]]:
    """Tokens a second of reading PROMPT random tokens at once, and the seconds of STEPS more, one by one."""
    parameters = onnxruntime_genai.GeneratorParams(model)
    parameters.set_search_options(max_length=CONTEXT, min_length=PROMPT + 2 * STEPS, do_sample=False)
    generator = onnxruntime_genai.Generator(model, parameters)
    ids = np.random.default_rng(seed).integers(0, 150_000, (1, PROMPT)).astype(np.int32)
    began = time.perf_counter()
    generator.append_tokens(ids)
    generator.get_logits()
    prefill = PROMPT / (time.perf_counter() - began)
    steps = []
    for _ in range(STEPS):
        began = time.perf_counter()
        generator.generate_next_token()
        generator.get_logits()
        steps.append(time.perf_counter() - began)
    return prefill, steps


if __name__ == "__main__":
    main()
