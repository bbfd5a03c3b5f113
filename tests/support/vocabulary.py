"""Special ids, image settings and texts for tests of the host side. Imports no torch."""

from pathlib import Path

from hypothesis import strategies as st

from pocketvl.runtime.bundle.geometry import ImageSettings, SpecialTokens
from tests.support.tokenizers import token_id, tokenizer_json

SPECIAL = SpecialTokens(
    image_pad=token_id("<|image_pad|>"),
    video_pad=token_id("<|video_pad|>"),
    vision_start=token_id("<|vision_start|>"),
    vision_end=token_id("<|vision_end|>"),
    eos=(token_id("<|im_end|>"), token_id("<|endoftext|>")),
    im_end=token_id("<|im_end|>"),
)
IMAGE = ImageSettings(
    min_pixels=3136,
    max_pixels=12845056,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)
BUCKETS = (256, 576, 1024, 2304, 4096)

# Letters, line breaks, what special tokens are made of, combining marks, scripts, emoji with joiners.
_MARKUP = ("<", "|", ">", "<|", "|>", "im_start", "image_pad", "'s", "42", "user", "assistant\n")
_SPACE = ("\n", "\n\n", " ", "  ", "\t", "What does the sign say?")
_SCRIPTS = (
    "e\u0301",
    "\u0301",
    "n\u0303o",
    "日本語",
    "ไทย",
    "👩‍👩‍👧",
    "🇫🇷",
    "🙂",
    "\u200d",
    "\ufdd0",
    "\ufeff",
)
TEXTS = st.lists(
    st.one_of(
        st.text(max_size=8),
        st.sampled_from(_MARKUP + _SPACE + _SCRIPTS),
    ),
    max_size=8,
).map("".join)


def write_tokenizer(folder: Path) -> Path:
    """The small tokenizer of the tests as a file."""
    path = folder / "tokenizer.json"
    path.write_text(tokenizer_json(), encoding="utf-8")
    return path
