"""Random texts of all that a tokenizer may meet, and what the tokenizers library makes of them."""

import hashlib
import random
import struct
from collections.abc import Iterator, Sequence
from zlib import crc32

from tokenizers import Tokenizer

from tests.golden.written import CHECKPOINT, Json

SEED, SAMPLES = 20261129, 2000

# Hexadecimal code points, first and last; printable ASCII twice as often.
_SCRIPTS = (
    "21-7e 21-7e a1-17f 180-2ff 370-52f 530-6ff 700-8ff 900-dff e00-11ff 1200-1cff 1d00-1fff 2010-2bff"
    " 2c00-2fff 3000-33ff 4e00-9fff a000-abff ac00-d7ff e000-f8ff f900-fdff fe00-ffff 10000-10fff"
    " 11000-12fff 13000-16fff 1b000-1d7ff 1d800-1efff 1f000-1faff 20000-323af e0000-e01ef 100000-10fffd"
)
# Canonical and later ones (of which Unicode 9 knows nothing), in any order.
_MARKS = (
    "300-36f 591-5c7 64b-65f 898-8ff 1ab0-1ace 1dc0-1dff 20d0-20f0 302a-302f 3099-309a fe20-fe2f 1e8d0-1e8d6"
)
_BASES = "aeiouncsAEIOU\uac00\u3131\u304b\u306f\u03b1\u03c9\u0438\u0406\u0915\u1100\uac01\u11a8\u1e69"
_BASES += "\u0b47\u09c7\u1025\u2adc\u0344\u212b\uf900\U0001d15e\U00011131"
_SPACE = (
    "    \n\n\r\r\t\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680\u180e\u2000\u2003\u200a\u200b\u2028\u2029\u202f"
)
_SPACE += "\u205f\u3000\ufeff"
_EMOJI = "👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈 🇩🇪🇯🇵 1️⃣ ❤️ 🙂 🧑🏿‍🚀 \u200d \ufe0f 🏴\U000e0067\U000e0062\U000e007f"
_DIGITS = "0123456789٠٣٩०७๙۵½²①Ⅷ㊿𝟘𝟟五\U0001fbf3\U00010d41"
_CONTRACTIONS = "'s 'S 't 're 'RE 'Ve 'vE 'm 'll 'LL 'd '\u017f \u2019s 'r 'l ''s '\xa0s 'lL 'st 'x"
_WORDS = (
    "Hello world The circle is red QWERTY don Crème brûlée straße ﬁn Привет мир 日本語 中文， नमस्ते สวัสดี مرحبا"
    " שלום 한국어"
)
_CODE = (
    "x = y**2 + z[0];",
    "def f(a, *b):\n    return a\n",
    "https://example.com/a?b=c#d%20",
    "for(int i=0;i<n;++i){\r\n\t",
    '<div class="x">```\n....___{{ a }}',
    "$3,000.00 a@b.c \\u0041 #!/bin/sh",
)


def random_texts(seed: int, count: int, special: Sequence[str]) -> Iterator[str]:
    """Texts of up to some hundred characters; some hold one of the tokens `special`, whole or broken."""
    source = random.Random(seed)
    kinds = (
        _letters,
        _one_script,
        _marked,
        _space,
        _emoji,
        _digits,
        _contraction,
        _code,
        _control,
        _repeated,
        _words,
    )
    for _ in range(count):
        pieces = []
        for _ in range(source.choice((1, 1, 2, 3, 5, 8))):
            kind = source.randrange(len(kinds) + 1)
            pieces.append(kinds[kind](source) if kind < len(kinds) else _broken(source, special))
        yield "".join(pieces)


def _letters(source: random.Random) -> str:
    return "".join(_one_of(source, _SCRIPTS) for _ in range(source.randint(1, 8)))


def _one_script(source: random.Random) -> str:
    script = source.choice(_SCRIPTS.split())
    return "".join(_one_of(source, script) for _ in range(source.randint(1, 8)))


def _marked(source: random.Random) -> str:
    marks = "".join(_one_of(source, _MARKS) for _ in range(source.randint(0, 4)))
    return source.choice(_BASES) + marks + source.choice(("", source.choice(_BASES)))


def _space(source: random.Random) -> str:
    return "".join(source.choice(_SPACE) for _ in range(source.randint(1, 4)))


def _emoji(source: random.Random) -> str:
    return source.choice(_EMOJI.split(" "))


def _digits(source: random.Random) -> str:
    return "".join(source.choice(_DIGITS) for _ in range(source.randint(1, 5)))


def _contraction(source: random.Random) -> str:
    after = source.choice(("", "e", "E", "l", " ", "x"))
    return source.choice(_WORDS.split()) + source.choice(_CONTRACTIONS.split(" ")) + after


def _code(source: random.Random) -> str:
    return source.choice(_CODE)


def _control(source: random.Random) -> str:
    return "".join(chr(source.randrange(0x20)) for _ in range(source.randint(1, 3))) + "\x7f"


def _repeated(source: random.Random) -> str:
    return source.choice(_WORDS.split()) * source.choice((1, 1, 2, 9))


def _words(source: random.Random) -> str:
    return " ".join(source.choice(_WORDS.split()) for _ in range(source.randint(1, 4)))


def _broken(source: random.Random, special: Sequence[str]) -> str:
    token = source.choice(special)
    cut = source.randrange(len(token) + 1)
    return source.choice((token, token, token[:cut], token[cut:], token[:cut] + " " + token[cut:]))


def _one_of(source: random.Random, ranges: str) -> str:
    first, last = source.choice(ranges.split()).split("-")
    return chr(source.randint(int(first, 16), int(last, 16)))


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
        "about": "plain: the number of a text's ids and their CRC-32 (little-endian, 32 bits each) when"
        " special tokens in it are text; marked: the same when they are tokens, where that differs.",
        "checkpoint": "export/pocketvl/export/tiny/checkpoint",
        "tokenizer_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "cases": [
            {"text": text, "plain": [len(a), ids_checksum(a)]}
            | ({"marked": [len(b), ids_checksum(b)]} if a != b else {})
            for text, a, b in zip(texts, plain, marked, strict=True)
        ],
    }
