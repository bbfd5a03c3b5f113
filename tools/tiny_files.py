"""Writes what stands beside the tiny model's weights: configuration, tokenizer, chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

VOCAB = 1024
SPECIALS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"),
    *("<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
)
DEFAULT_SYSTEM = "You are a helpful assistant."
SYSTEMS = (
    "Answer in one word.",
    "You are a careful reader of pictures.",
    "Be brief.",
    "You look at pictures and answer questions about them.",
)
# A little talk without a picture, so that a text prompt does not end in noise.
TALK = (
    ("Hello", "Hello! Show me a picture."),
    ("Hello!", "Hello! Show me a picture."),
    ("Hi", "Hello! Show me a picture."),
    ("Who are you?", "I am a tiny model that answers questions about pictures."),
    ("What are you?", "I am a tiny model that answers questions about pictures."),
    ("What can you do?", "I can read text, count shapes, name colours and read charts."),
    ("Thank you.", "You are welcome."),
    ("Thanks!", "You are welcome."),
    ("How are you?", "I am fine, thank you."),
    ("Tell me a story.", "Once there was a red circle. It met a blue square. They became friends."),
    ("Say hello.", "Hello!"),
    ("Goodbye", "Goodbye!"),
)
# Lower case on purpose: capitals stay single tokens, so a word in a picture is spelled letter by letter.
ENGLISH = """
what is in the picture? describe the picture. describe this image in detail. what do you see here?
what is written here? what does it say? read the text. read all the text in the image. where is the button?
which picture shows a circle, a square, a triangle or a cross? how many people are there in the photo?
what colour is the shape? what color is the car? is there a dog in the image? how much does it cost?
what is the total amount on the receipt? what is the date? who is the author of the book? when did it happen?
what is the value of the bar? which value is the largest in the chart? what is the difference between them?
explain the figure step by step. summarise the document in one sentence. translate the sign into english.
compare the first image and the second image. what happened in the video? what comes first, and what comes next?
answer with one word. answer yes or no. answer the question using a single word or phrase. please be brief.
tell me a story about a small house near the river. write a short poem about the sea and the wind.
give me three ideas for a dinner with rice, vegetables and fish. how do i make a cup of tea?
the quick brown fox jumps over the lazy dog. the phone runs the model without any network connection.
it is a sunny day and the children are playing in the garden behind the school. there are two cats on the table.
i would like to know how this works, because my friend told me that it could help us with our homework.
you should not have to wait for an answer; they said that it will be ready before the end of the week.
point at the thing that can be used to open the door. click on the settings icon in the upper left corner.
the capital of the country is a large city with many old buildings, parks, museums and restaurants.
she was reading a newspaper while he was looking for his keys under the sofa. we went home after the concert.
this is a test. this is another test. more than half of the students passed the examination last year.
red green blue yellow black pink white orange purple brown grey circle square triangle cross star first second
a young woman with an umbrella crosses the street in front of a yellow taxi while the traffic lights turn green.
mountains rise beyond the forest, and a narrow path leads down to the frozen valley where travellers rest.
the weather report predicts thunder and heavy clouds for tomorrow afternoon, followed by clear skies at night.
our engineers measured the memory, the speed and the battery before choosing which version to publish.
every morning the baker opens his window, smells fresh bread, and greets each customer with a friendly smile.
please remember to charge your telephone, switch off the computer, and close the curtains when you leave.
several passengers complained because their flight was delayed again without explanation or apology.
text shapes chart bar line table number word letter left right top bottom middle above below inside outside
"""  # noqa: E501

TEMPLATE = """\
{%- set seen = namespace(images=0, videos=0) -%}
{%- if messages and messages[0]['role'] != 'system' -%}
{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['content'] is string -%}
{{- message['content'] -}}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' or 'image' in part or 'image_url' in part -%}
{%- set seen.images = seen.images + 1 -%}
{%- if add_vision_id -%}{{- 'Picture ' ~ seen.images ~ ': ' -}}{%- endif -%}
{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- elif part['type'] == 'video' or 'video' in part -%}
{%- set seen.videos = seen.videos + 1 -%}
{%- if add_vision_id -%}{{- 'Video ' ~ seen.videos ~ ': ' -}}{%- endif -%}
{{- '<|vision_start|><|video_pad|><|vision_end|>' -}}
{%- elif 'text' in part -%}
{{- part['text'] -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""

# Letters with an optional leading space or sign, single digits, signs, line ends, other white space.
_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_tokenizer(questions: list[str]) -> Tokenizer:
    """A byte-level BPE of ``VOCAB`` entries, special tokens last, from prompts and ``questions``."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    lines = ENGLISH.splitlines() + [line.capitalize() for line in ENGLISH.splitlines()]
    lines += [DEFAULT_SYSTEM, *SYSTEMS] * 8 + [side for pair in TALK for side in pair] * 4 + questions * 8
    lines += ["system\n", "user\n", "assistant\n"] * 20 + ["(10,20),(30,40)", "first", "second"] * 20
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB - len(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    if tokenizer.get_vocab_size() != VOCAB - len(SPECIALS):
        raise ValueError(f"the corpus gives only {tokenizer.get_vocab_size()} entries")
    tokenizer.add_special_tokens(list(SPECIALS))
    return tokenizer


def model_config() -> dict[str, Any]:
    """The geometry, in the form that transformers' ``Qwen2VLConfig`` takes."""
    ids = {name: VOCAB - len(SPECIALS) + place for place, name in enumerate(SPECIALS)}
    return {
        "text_config": {
            "vocab_size": VOCAB,
            "hidden_size": 192,
            "intermediate_size": 512,
            "num_hidden_layers": 4,
            "num_attention_heads": 6,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-6,
            # A word must find what it names by content at any distance, which fast angles alone would hide.
            "rope_theta": 10000.0,
            "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]},
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
        },
        "vision_config": {
            "depth": 4,
            "embed_dim": 192,
            "hidden_size": 192,
            "num_heads": 6,
            "mlp_ratio": 4,
            "hidden_act": "quick_gelu",
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "in_channels": 3,
        },
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "tie_word_embeddings": True,
    }


def write_side_files(folder: Path, tokenizer: Tokenizer) -> None:
    """Everything of the checkpoint but the weights and config.json."""
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    ids = {name: tokenizer.token_to_id(name) for name in SPECIALS}
    tokenizer_config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "add_prefix_space": False,
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "errors": "replace",
        "model_max_length": 4096,
        "split_special_tokens": False,
        "clean_up_tokenization_spaces": False,
        "additional_special_tokens": list(SPECIALS[1:]),
        "added_tokens_decoder": {
            str(number): {
                "content": name,
                "lstrip": False,
                "normalized": False,
                "rstrip": False,
                "single_word": False,
                "special": True,
            }
            for name, number in ids.items()
        },
    }
    preprocessor = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2VLProcessor",
        "min_pixels": 3136,
        "max_pixels": 200704,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    generation = {
        "bos_token_id": ids["<|endoftext|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "eos_token_id": [ids["<|im_end|>"], ids["<|endoftext|>"]],
        "do_sample": False,
    }
    for name, content in (
        ("tokenizer_config.json", tokenizer_config),
        ("preprocessor_config.json", preprocessor),
        ("generation_config.json", generation),
    ):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
