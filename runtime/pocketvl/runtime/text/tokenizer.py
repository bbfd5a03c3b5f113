"""Text to token ids and back, with tokenizer.json of the bundle.

Special tokens are found here and not by the library, so that it is always clear which text may hold
them: a template's may, a user's may not. Byte-level BPE only: a token stands for bytes.
"""

import codecs
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from pocketvl.runtime.bundle.geometry import SpecialTokens
from pocketvl.runtime.errors import BundleError, PromptError


class Tokenizer:
    """Encodes and decodes with one tokenizer.json."""

    def __init__(self, path: Path) -> None:
        """Raises BundleError if the file is missing, damaged or of another kind."""
        self._path = path
        self._backend = _read_backend(path)
        added = self._backend.get_added_tokens_decoder()
        for token in added.values():
            if token.lstrip or token.rstrip or token.single_word:
                raise BundleError(
                    f"The added token {token.content!r} of {path} strips the text around it, which no token"
                    " of Qwen2-VL does; export the bundle from a Qwen2-VL checkpoint."
                )
        self._added = {token.content: index for index, token in added.items()}
        self._special = frozenset(index for index, token in added.items() if token.special)
        # From here on the library takes every added token in a text for ordinary text.
        self._backend.add_special_tokens([AddedToken(text, special=True) for text in self._added])
        self._backend.encode_special_tokens = True
        longest_first = sorted(self._added, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._bytes_of_char = _bytes_of_chars()
        self._bytes: dict[int, bytes] = {}

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids of special tokens, which decoding leaves out."""
        return self._special

    @property
    def first_characters(self) -> frozenset[str]:
        """Characters that an added token begins with: without them a text holds none."""
        return frozenset(text[0] for text in self._added)

    def token_id(self, text: str) -> int | None:
        """The id of an added token such as <|im_end|>, None if there is none."""
        return self._added.get(text)

    def check(self, special: SpecialTokens, rows: int) -> NDArray[np.int64]:
        """Whether these are the tokens of a model: its control tokens, and an id below `rows` for each.

        Returns missing(rows). Raises BundleError: a control token that is not one would be read and written
        as text.
        """
        wanted = {
            "<|image_pad|>": special.image_pad,
            "<|video_pad|>": special.video_pad,
            "<|vision_start|>": special.vision_start,
            "<|vision_end|>": special.vision_end,
        }
        if special.im_end is not None:
            wanted |= {"<|im_end|>": special.im_end, "<|im_start|>": self._added.get("<|im_start|>", -1)}
        for text, index in wanted.items():
            if self._added.get(text) != index or index not in self._special:
                raise BundleError(
                    f"{self._path} lacks the special token {text}, or gives it another id than the"
                    " manifest; copy it again from the model that was exported."
                )
        for index in special.eos:
            if index not in self._special:
                raise BundleError(
                    f"{self._path} has no special token {index}, which ends an answer; copy it again from the"
                    " model that was exported."
                )
        missing = self.missing(rows)
        if rows - len(missing) < self._backend.get_vocab_size():
            raise BundleError(
                f"{self._path} has tokens beyond the {rows} embeddings of the model; copy it again from the"
                " model that was exported."
            )
        return missing

    def missing(self, rows: int) -> NDArray[np.int64]:
        """Ids below `rows` that have no token: weights may have more rows than the vocabulary."""
        token = self._backend.id_to_token
        return np.array([index for index in range(rows) if token(index) is None], np.int64)

    def encode_text(self, text: str) -> list[int]:
        """Ids of ordinary text; what looks like a special token becomes several ordinary ones.

        Raises PromptError for a string that is not valid Unicode.
        """
        try:
            ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        except (UnicodeEncodeError, TypeError):
            raise PromptError(
                "The prompt holds half of a surrogate pair, which is no character; pass valid Unicode text."
            ) from None
        return ids

    def encode_template(self, text: str, stand_ins: Mapping[str, str] | None = None) -> list[int]:
        """Ids of rendered template text: added tokens count, all between them is ordinary text.

        `stand_ins` maps characters back to what they stand for, after the added tokens were found.
        """
        back = str.maketrans(dict(stand_ins or {}))
        ids: list[int] = []
        position = 0
        for match in self._pattern.finditer(text):
            ids += self.encode_text(text[position : match.start()].translate(back))
            ids.append(self._added[match.group()])
            position = match.end()
        return ids + self.encode_text(text[position:].translate(back))

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """The text of `ids`; bytes that are no UTF-8 become U+FFFD."""
        data = b"".join(self.token_bytes(index, skip_special) for index in ids)
        return data.decode("utf-8", errors="replace")

    def stream(self, skip_special: bool = True) -> "StreamDecoder":
        """A decoder for one answer, fed token by token."""
        return StreamDecoder(self, skip_special)

    def token_bytes(self, index: int, skip_special: bool = True) -> bytes:
        """UTF-8 bytes of one token, maybe part of a character. An id that the vocabulary lacks has none."""
        if skip_special and index in self._special:
            return b""
        known = self._bytes.get(index)
        if known is None:
            known = self._bytes[index] = self._look_up(index)
        return known

    def _look_up(self, index: int) -> bytes:
        if index < 0:
            return b""
        token = self._backend.id_to_token(index)
        if token is None:  # weights may have more rows than the vocabulary has tokens
            return b""
        if token in self._added:
            return token.encode()
        return bytes(self._bytes_of_char[char] for char in token)


class StreamDecoder:
    """Pieces of text as tokens arrive; a character is held back until all its bytes are there."""

    def __init__(self, tokenizer: Tokenizer, skip_special: bool = True) -> None:
        self._tokenizer = tokenizer
        self._skip_special = skip_special
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, index: int) -> str:
        """The text that this token completes, maybe none."""
        return self._decoder.decode(self._tokenizer.token_bytes(index, self._skip_special))

    def finish(self) -> str:
        """What was held back: U+FFFD if the answer ended inside a character. Ready for another answer."""
        return self._decoder.decode(b"", final=True)


def _read_backend(path: Path) -> Backend:
    if not path.is_file():
        raise BundleError(f"{path} does not exist; copy or export the bundle again.")
    try:
        backend = Backend.from_file(str(path))
    except Exception as error:  # the library raises plain Exception for any fault of the file
        raise BundleError(
            f"{path} is no readable tokenizer ({error}); copy or export the bundle again."
        ) from None
    if "ByteLevel" not in repr(backend.decoder):
        raise BundleError(
            f"{path} is not a byte-level BPE tokenizer as Qwen2-VL has; export from a Qwen2-VL checkpoint."
        )
    backend.no_truncation()
    backend.no_padding()
    return backend


def _bytes_of_chars() -> dict[str, int]:
    """The byte for which each character of a vocabulary entry stands.

    Byte-level BPE writes printable Latin-1 as itself, the other bytes in order as U+0100 and up.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    table.update({chr(0x100 + i): byte for i, byte in enumerate(others)})
    return table
