"""Write the JSON files beside this one: `python -m tests.golden.make_goldens`.

Python, Kotlin and Swift read the same files. Nothing here uses pocketvl's runtime: values come from
transformers and Pillow where those are right, and from plain loops or by hand where they are not
(positions of videos) or have nothing to say (embedding tables). Floats are float32, 9 digits.
"""

import json
from collections.abc import Callable
from pathlib import Path

from tests.golden.answers import grounding, image_size, repetition
from tests.golden.conversations import prompts, tokenizer_strings
from tests.golden.decoding import lookup, sampler, stop_strings
from tests.golden.frames import change
from tests.golden.images import bicubic, patches, resize
from tests.golden.manifests import manifests
from tests.golden.photographs import image_files
from tests.golden.positions import mrope, text_rope, vision_rope
from tests.golden.saved_chats import saved_chat
from tests.golden.sizes import sizes
from tests.golden.slots import prefix
from tests.golden.tables import embedding
from tests.golden.texts import tokenizer_samples
from tests.golden.tools import tool_calls
from tests.golden.trace import conversation_trace
from tests.golden.videos import video_sampling
from tests.golden.whole_answers import tiny_answers
from tests.golden.written import CHECKPOINT, FOLDER, Json

GOLDENS: dict[str, Callable[[], Json]] = {
    "resize": resize,
    "sizes": sizes,
    "bicubic": bicubic,
    "patches": patches,
    "image_files": image_files,
    "vision_rope": vision_rope,
    "text_rope": text_rope,
    "mrope": mrope,
    "embedding": embedding,
    "manifests": manifests,
    "prompts": prompts,
    "grounding": grounding,
    "image_size": image_size,
    "repetition": repetition,
    "sampler": sampler,
    "lookup": lookup,
    "stop_strings": stop_strings,
    "prefix": prefix,
    "change": change,
    "conversation_trace": conversation_trace,
    "video_sampling": video_sampling,
    "tool_calls": tool_calls,
    "tokenizer_strings": tokenizer_strings,
    "tokenizer_samples": tokenizer_samples,
    "tiny_answers": tiny_answers,
    "saved_chat": saved_chat,
}

NEED_CHECKPOINT = ("prompts", "conversation_trace", "tokenizer_strings", "tokenizer_samples", "tiny_answers")


def write(path: Path, golden: Json) -> None:
    """One line for each case, so that a difference shows which one changed."""
    parts = []
    for key, value in golden.items():
        text = json.dumps(value, ensure_ascii=False)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            text = "[\n  " + ",\n  ".join(json.dumps(v, ensure_ascii=False) for v in value) + "\n ]"
        parts.append(f" {json.dumps(key)}: {text}")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def main() -> None:
    for name, make in GOLDENS.items():
        if name in NEED_CHECKPOINT and not (CHECKPOINT / "tokenizer.json").is_file():
            print(f"{name}.json needs the tiny checkpoint: left out")
            continue
        write(FOLDER / f"{name}.json", make())


if __name__ == "__main__":
    main()
