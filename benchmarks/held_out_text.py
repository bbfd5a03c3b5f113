"""English text that comes with Python, parted into documents to calibrate on and held-out ones."""

import json
from collections.abc import Sequence
from pathlib import Path
from pydoc_data.topics import topics

from tokenizers import Tokenizer

HELD_OUT = 4  # one topic of so many


def split_topics() -> tuple[list[str], list[str]]:
    """Documents to calibrate on and held-out ones, without a common paragraph."""
    ordered = [topics[name] for name in sorted(topics)]
    held_out = list(dict.fromkeys(ordered[HELD_OUT - 1 :: HELD_OUT]))
    seen = {paragraph for document in held_out for paragraph in document.split("\n\n")}
    training = []
    for document in ordered:
        own = [paragraph for paragraph in document.split("\n\n") if paragraph not in seen]
        seen.update(own)  # some topics are parts of others
        if own:
            training.append("\n\n".join(own))
    return training, held_out


def pieces(tokenizer: Tokenizer, documents: Sequence[str], count: int, length: int) -> list[tuple[int, ...]]:
    """Token ids: the first pieces of as many documents as there are, then their second ones, and so on."""
    ids = [tokenizer.encode(document, add_special_tokens=False).ids for document in documents]
    longest = max(len(one) for one in ids)
    starts = range(0, longest - length + 1, length)
    found = [tuple(one[at : at + length]) for at in starts for one in ids if len(one) >= at + length]
    if len(found) < count:
        raise SystemExit(f"The text has only {len(found)} pieces of {length} tokens, not {count}.")
    return found[:count]


def write_lines(tokenizer: Tokenizer, documents: Sequence[str], most: int, path: Path) -> None:
    """A .jsonl file of plain text lines, each `most` tokens of a document or what is left of it."""
    ids = [tokenizer.encode(document, add_special_tokens=False).ids for document in documents]
    cut = [one[at : at + most] for one in ids for at in range(0, len(one), most)]
    texts = [text for part in cut if (text := tokenizer.decode(part)).strip()]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
