"""Random texts of all that a tokenizer may meet, and what the tokenizers library makes of them."""

import hashlib
import random
import struct
from collections.abc import Iterator, Sequence
from zlib import crc32

from tokenizers import Tokenizer

from tests.golden.written import CHECKPOINT, Json

SEED, SAMPLES = 20261129, 2000

_SCRIPTS = (
    (0x21, 0x7E), (0x21, 0x7E), (0xA1, 0x17F), (0x180, 0x2FF), (0x370, 0x52F), (0x530, 0x6FF), (0x700, 0x8FF),
    (0x900, 0xDFF), (0xE00, 0x11FF), (0x1200, 0x1CFF), (0x1D00, 0x1FFF), (0x2010, 0x2BFF), (0x2C00, 0x2FFF),
    (0x3000, 0x33FF), (0x4E00, 0x9FFF), (0xA000, 0xABFF), (0xAC00, 0xD7FF), (0xE000, 0xF8FF), (0xF900, 0xFDFF),
    (0xFE00, 0xFFFF), (0x10000, 0x10FFF), (0x11000, 0x12FFF), (0x13000, 0x16FFF), (0x1B000, 0x1D7FF),
    (0x1D800, 0x1EFFF), (0x1F000, 0x1FAFF), (0x20000, 0x323AF), (0xE0000, 0xE01EF), (0x100000, 0x10FFFD),
)  # fmt: skip
# Canonical and later ones (of which Unicode 9 knows nothing), in any order.
_MARKS = ((0x300, 0x36F), (0x591, 0x5C7), (0x64B, 0x65F), (0x898, 0x8FF), (0x1AB0, 0x1ACE), (0x1DC0, 0x1DFF),
          (0x20D0, 0x20F0), (0x302A, 0x302F), (0x3099, 0x309A), (0xFE20, 0xFE2F), (0x1E8D0, 0x1E8D6))  # fmt: skip
_BASES = "aeiouncsAEIOU가ㄱかはαωиІक가ᄀ각ᆨṩ\u0b47\u09c7\u1025\u2adc\u0344\u212b\uf900\U0001d15e\U00011131"
_SPACE = (" ", " ", " ", "  ", "\n", "\n", "\r\n", "\r", "\t", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f", "\x85",
          "\xa0", "\u1680", "\u180e", "\u2000", "\u2003", "\u200a", "\u200b", "\u2028", "\u2029", "\u202f", "\u205f",
          "\u3000", "\ufeff")  # fmt: skip
_EMOJI = (
    "👩‍👩‍👧‍👦",
    "👍🏽",
    "🏳️‍🌈",
    "🇩🇪🇯🇵",
    "1️⃣",
    "❤️",
    "🙂",
    "🧑🏿‍🚀",
    "\u200d",
    "\ufe0f",
    "🏴\U000e0067\U000e0062\U000e007f",
)
_DIGITS = "0123456789٠٣٩०७๙۵½²①Ⅷ㊿𝟘𝟟五\U0001fbf3\U00010d41"
_CONTRACTIONS = ("'s", "'S", "'t", "'re", "'RE", "'Ve", "'vE", "'m", "'ll", "'LL", "'d", "'\u017f", "\u2019s", "'r", "'l",
                 "''s", "' s", "'lL", "'st", "'x")  # fmt: skip
_CODE = ("x = y**2 + z[0];", "def f(a, *b):\n    return a\n", "https://example.com/a?b=c#d%20", "<div class=\"x\">",
         "for(int i=0;i<n;++i){\r\n\t", "```\n", "....", "___", "{{ a }}", "a@b.c", "$3,000.00", "\\u0041", "#!/bin/sh")  # fmt: skip
_WORDS = ("Hello", "world", "The", "circle", "is", "red", "straße", "Привет", "мир", "日本語", "中文，", "नमस्ते", "สวัสดี",
          "مرحبا", "שלום", "한국어", "Crème", "brûlée", "don", "QWERTY", "ﬁn")  # fmt: skip


def random_texts(seed: int, count: int, special: Sequence[str]) -> Iterator[str]:
    """Texts of up to some hundred characters; `special` are tokens that some of them hold, whole or broken."""
    source = random.Random(seed)
    for _ in range(count):
        yield "".join(_piece(source, special) for _ in range(source.choice((1, 1, 2, 3, 5, 8))))


def _piece(source: random.Random, special: Sequence[str]) -> str:
    kind = source.randrange(12)
    if kind == 0:
        return "".join(_in(source, source.choice(_SCRIPTS)) for _ in range(source.randint(1, 8)))
    if kind == 1:
        one = source.choice(_SCRIPTS)
        return "".join(_in(source, one) for _ in range(source.randint(1, 8)))
    if kind == 2:
        marks = "".join(_in(source, source.choice(_MARKS)) for _ in range(source.randint(0, 4)))
        return source.choice(_BASES) + marks + source.choice(("", source.choice(_BASES)))
    if kind == 3:
        return "".join(source.choice(_SPACE) for _ in range(source.randint(1, 4)))
    if kind == 4:
        return source.choice(_EMOJI)
    if kind == 5:
        return "".join(source.choice(_DIGITS) for _ in range(source.randint(1, 5)))
    if kind == 6:
        return (
            source.choice(_WORDS)
            + source.choice(_CONTRACTIONS)
            + source.choice(("", "e", "E", "l", " ", "x"))
        )
    if kind == 7:
        return source.choice(_CODE)
    if kind == 8:
        token = source.choice(special)
        cut = source.randrange(len(token) + 1)
        return source.choice((token, token, token[:cut], token[cut:], token[:cut] + " " + token[cut:]))
    if kind == 9:
        return "".join(chr(source.randrange(0x20)) for _ in range(source.randint(1, 3))) + "\x7f"
    if kind == 10:
        return source.choice(_WORDS) * source.choice((1, 1, 2, 9))
    return " ".join(source.choice(_WORDS) for _ in range(source.randint(1, 4)))


def _in(source: random.Random, ends: tuple[int, int]) -> str:
    return chr(source.randint(*ends))


def ids_checksum(ids: Sequence[int]) -> int:
    """CRC-32 of the ids as little-endian 32-bit integers."""
    return crc32(struct.pack(f"<{len(ids)}i", *ids))


def tokenizer_samples() -> Json:
    """Many texts, of whose ids only a checksum is kept."""
    source = CHECKPOINT / "tokenizer.json"
    library = Tokenizer.from_file(str(source))
    special = [token.content for token in library.get_added_tokens_decoder().values()]
    texts = list(random_texts(SEED, SAMPLES, special))
    marked = [library.encode(text, add_special_tokens=False).ids for text in texts]
    library.encode_special_tokens = True
    plain = [library.encode(text, add_special_tokens=False).ids for text in texts]
    return {
        "about": "plain: the number of a text's ids and their CRC-32 (little-endian, 32 bits each) when special"
        " tokens in it are text; marked: the same when they are tokens, where that differs.",
        "checkpoint": "export/pocketvl/export/tiny/checkpoint",
        "tokenizer_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "cases": [
            {"text": text, "plain": [len(a), ids_checksum(a)]}
            | ({"marked": [len(b), ids_checksum(b)]} if a != b else {})
            for text, a, b in zip(texts, plain, marked, strict=True)
        ],
    }
