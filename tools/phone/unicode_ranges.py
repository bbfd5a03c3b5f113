"""Writes UnicodeRanges.kt and UnicodeRanges.swift: the classes of characters by which the tokenizers library
splits and normalizes text.

    python tools/phone/unicode_ranges.py

Java, Android's ICU versions, Apple's systems and the library know different versions of Unicode. The tables
are read off the library itself (\\p{L} and \\p{N} of its regular expressions: Unicode 16 in tokenizers 0.23),
and off perl for what Unicode 9 has, which is the version of its NFC. Needs perl.
"""

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

OUT = Path(__file__).parents[2] / "android_demo/core/src/main/kotlin/dev/pocketvl/text/bpe/UnicodeRanges.kt"
CHARACTERS = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
SWIFT_OUT = Path(__file__).parents[2] / "ios_demo/Sources/PocketVL/Text/BPE/UnicodeRanges.swift"
WIDTH = 100

HEAD = """\
package dev.pocketvl.text.bpe

// Written by tools/phone/unicode_ranges.py.

/** Ranges of code points, hexadecimal, both ends inclusive; see [CodePointSet]. */
internal object UnicodeRanges {
"""
SWIFT_HEAD = """\
// Written by tools/phone/unicode_ranges.py.

/// Ranges of code points, hexadecimal, both ends inclusive; see ``CodePointSet``.
enum UnicodeRanges {
"""
TABLES = (
    ("LETTERS", r"\p{L} of the tokenizers library."),
    ("NUMBERS", r"\p{N} of the tokenizers library."),
    ("LATER_THAN_UNICODE_9", "Unassigned in Unicode 9, by which the tokenizers library normalizes."),
)


def matched(pattern: str) -> list[int]:
    """The characters that a regular expression of the library matches."""
    split = Split(Regex(pattern), "removed")
    found: list[int] = []
    for start in range(0, len(CHARACTERS), 4096):
        chunk = CHARACTERS[start : start + 4096]
        others = {char for piece, _ in split.pre_tokenize_str("".join(map(chr, chunk))) for char in piece}
        found += [code for code in chunk if chr(code) not in others]
    return found


def later_than_unicode_9() -> list[int]:
    script = 'use Unicode::UCD "prop_invlist"; print join " ", prop_invlist("Present_In=9.0")'
    changes = list(
        map(int, subprocess.run(["perl", "-e", script], check=True, stdout=subprocess.PIPE).stdout.split())
    )
    inside = {
        code for a, b in zip(changes[::2], changes[1::2], strict=True) for code in range(a, min(b, 0x110000))
    }
    return [code for code in CHARACTERS if code not in inside]


def ranges(codes: Iterable[int]) -> Iterator[str]:
    first = last = -2
    for code in [*codes, 0x110001]:
        if code == last + 1:
            last = code
            continue
        if first >= 0:
            yield f"{first:x}" if first == last else f"{first:x}-{last:x}"
        first = last = code


def lines(words: Iterable[str]) -> list[str]:
    done = [""]
    for word in words:
        if len(done[-1]) + len(word) > WIDTH:
            done.append("")
        done[-1] += f"{word} "
    return done


def main() -> None:
    tables = [matched(r"\p{L}"), matched(r"\p{N}"), later_than_unicode_9()]
    written = []
    for (name, about), codes in zip(TABLES, tables, strict=True):
        text = " +\n".join(f'            "{line}"' for line in lines(ranges(codes)))
        written.append(
            f"    /** {about} */\n    const val {name} =\n{text.replace('            ', '        ', 1)}\n"
        )
    OUT.write_text(HEAD + "\n".join(written) + "}\n", encoding="utf-8")
    SWIFT_OUT.write_text(swift(tables), encoding="utf-8")


def swift(tables: list[list[int]]) -> str:
    written = []
    for (name, about), codes in zip(TABLES, tables, strict=True):
        first, *rest = name.lower().split("_")
        camel = first + "".join(word.capitalize() for word in rest)
        text = "\n".join(f"        {line.rstrip()}" for line in lines(ranges(codes)))
        written.append(f'    /// {about}\n    static let {camel} = """\n{text}\n        """\n')
    return SWIFT_HEAD + "\n".join(written) + "}\n"


if __name__ == "__main__":
    main()
