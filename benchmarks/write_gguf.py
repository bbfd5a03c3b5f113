"""The decoder of a Qwen2-VL checkpoint as llama.cpp stores it, for beside_llama_cpp.py.

    python -m venv llama && llama/bin/pip install gguf llama-cpp-python
    llama/bin/python benchmarks/write_gguf.py CHECKPOINT OUT.gguf [--type q4_0] [--pure]

CHECKPOINT is a folder in bfloat16 with tied embeddings, of one file or several. What is written first is a
bfloat16 GGUF of the architecture qwen2vl, without vision and tokenizer; llama.cpp's own quantizer makes OUT
of it, and the table of embeddings, which is the head, gets Q6_K. --pure: it gets the other layers' type, too.
"""

import argparse
import ctypes
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import numpy as np
from gguf.utility import SafetensorsLocal
from numpy.typing import NDArray

ARCHITECTURE = gguf.MODEL_ARCH.QWEN2VL
FILE_TYPES = {
    "bf16": llama_cpp.LLAMA_FTYPE_MOSTLY_BF16,
    "q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
    "q4_k_m": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
    "q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--type", choices=FILE_TYPES, default="q4_0")
    parser.add_argument("--pure", action="store_true")
    options = parser.parse_args()
    if options.type == "bf16":
        write(options.checkpoint, options.out)
        return
    whole = options.out.with_suffix(".bf16.gguf")
    write(options.checkpoint, whole)
    quantize(whole, options.out, options.type, options.pure)
    whole.unlink()


def write(checkpoint: Path, out: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    config |= config.get("text_config", {})
    if not config["tie_word_embeddings"]:
        raise SystemExit(f"{checkpoint} has a head of its own, which this script does not write.")
    writer = gguf.GGUFWriter(out, gguf.MODEL_ARCH_NAMES[ARCHITECTURE])
    write_header(writer, config)
    names = gguf.get_tensor_name_map(ARCHITECTURE, config["num_hidden_layers"])
    for name, values in text_tensors(checkpoint):
        stored = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if stored is None:
            raise SystemExit(f"llama.cpp knows no tensor {name!r} in {ARCHITECTURE.name}.")
        if values.ndim == 1:  # norms and biases, which llama.cpp wants in float32
            wide = (values.astype(np.uint32) << 16).view(np.float32)
            writer.add_tensor(stored, wide)
        else:
            writer.add_tensor(stored, values.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_header(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    rope = config.get("rope_scaling") or config["rope_parameters"]
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config.get("rope_theta") or rope["rope_theta"])
    writer.add_rope_dimension_sections([*rope["mrope_section"], 0])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")


def text_tensors(checkpoint: Path) -> Iterator[tuple[str, NDArray[np.uint16]]]:
    """Hub names and bfloat16 bits, mapped from the files."""
    for path in sorted(checkpoint.glob("*.safetensors")):
        for name, tensor in SafetensorsLocal(path).tensors.items():
            if "visual." in name:
                continue
            if tensor.dtype != "BF16":
                raise SystemExit(f"{path} has {name} in {tensor.dtype}; this script reads bfloat16 alone.")
            hub = name.replace("language_model.", "")
            yield hub, tensor.mmap_bytes().view(np.uint16).reshape(tensor.shape)


def quantize(source: Path, out: Path, file_type: str, pure: bool) -> None:
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = FILE_TYPES[file_type]
    parameters.pure = pure
    failed = llama_cpp.llama_model_quantize(str(source).encode(), str(out).encode(), ctypes.byref(parameters))
    if failed:
        raise SystemExit(f"llama.cpp could not quantize {source}; its messages are above.")


if __name__ == "__main__":
    main()
