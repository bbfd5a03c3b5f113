"""A conversation about pictures on one KV cache."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pocketvl.runtime import names
from pocketvl.runtime.answer import Answer, StopReason
from pocketvl.runtime.bundle import Bundle
from pocketvl.runtime.conversation import Conversation
from pocketvl.runtime.decoding.decoder import Decoder
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.decoding.feed import Feed, Media, build_feed, text_feed
from pocketvl.runtime.decoding.generation import generate
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engine import Engine, Float32
from pocketvl.runtime.errors import BundleError, ContextError, UsageError
from pocketvl.runtime.geometry import ImageSettings, SamplingDefaults
from pocketvl.runtime.messages import Message, Picture, Text, media_of, parse_messages
from pocketvl.runtime.prompt import PromptEncoder
from pocketvl.runtime.tokenizer import Tokenizer
from pocketvl.runtime.turn import Turn
from pocketvl.runtime.vision import PreparedImage, VisionPipeline

DEFAULT_MAX_TOKENS = 256

Content = str | Sequence[Mapping[str, Any]]


class ChatSession:
    """Asks questions, one turn after the other. The bundle's files are loaded when first needed.

    A turn that fails leaves the conversation as it was before. Sessions may share an engine, one answering at
    a time: what another one has driven out of the KV cache is fed again from the kept embeddings.
    """

    def __init__(
        self,
        bundle: Bundle,
        engine: Engine,
        *,
        system: str | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        keep_vision: bool = False,
    ) -> None:
        """`system` replaces the template's default system turn. The pixel limits override the bundle's.

        keep_vision holds the vision encoder in memory between pictures; else it is released after each
        turn's pictures are encoded. Raises BundleError, PromptError, UsageError.
        """
        manifest = bundle.manifest
        self._manifest = manifest
        self._engine = engine
        self._keep_vision = keep_vision
        self._tokenizer = Tokenizer(bundle.path(names.TOKENIZER_FILE))
        self._prompts = PromptEncoder(self._tokenizer, manifest.special_tokens, _chat_template(bundle))
        table = EmbeddingMap(bundle.path(manifest.token_embedding.file), manifest.token_embedding)
        self._decoder = Decoder(engine.text, table, manifest)
        settings = _limited(manifest.image, min_pixels, max_pixels)
        self._vision = VisionPipeline(manifest, settings, engine.vision)
        first = parse_messages([{"role": "system", "content": system}]) if system is not None else ()
        self._start = self.conversation = Conversation(first)
        self._cancelled = threading.Event()

    @property
    def next_position(self) -> int:
        """Rope position that the next token gets."""
        return self.conversation.feed.next_position

    @property
    def free_context(self) -> int:
        """Tokens that still fit."""
        return max(0, self._manifest.max_context - len(self.conversation.feed))

    def reset(self) -> None:
        """Forget the conversation, not the pictures' embeddings."""
        self.conversation = self._start

    def cancel(self) -> None:
        """Stop the answer in progress, from any thread. What was said so far stays in the conversation."""
        self._cancelled.set()

    def close(self) -> None:
        """Free the engine's memory, the conversation's keys and values with it. Raises UsageError."""
        with self._engine.text.cache.claim():
            self._engine.close()

    def ask(
        self,
        content: Content,
        *,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        sampler: Sampler | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Answer:
        """One user turn and its answer. `content` is text or OpenAI-style parts, see messages.py.

        on_text is called with each piece of text, whole characters only. Without a sampler the bundle's
        defaults apply. Raises ContextError, ImageError, PromptError, EngineError, BundleError, UsageError.
        """
        if max_tokens < 1:
            raise UsageError(f"max_tokens must be at least 1, not {max_tokens}.")
        with self._engine.text.cache.claim():
            self._cancelled.clear()
            turn = Turn(sampler or _sampler(self._manifest.sampling), max_tokens, on_text)
            return self._answer(parse_messages([{"role": "user", "content": content}]), turn)

    def _answer(self, new: tuple[Message, ...], turn: Turn) -> Answer:
        before = self.conversation
        images = self._prepare(new)
        ids = self._encode(before, new, images)
        self._check_context(len(before.feed) + len(ids), len(before.feed))
        media = self._encode_images(images, turn)
        merge = self._manifest.geometry.vision.spatial_merge_size
        start = before.feed.next_position
        whole = before.feed.then(build_feed(ids, media, self._manifest.special_tokens, merge, start))
        hidden = self._prefill(whole, turn)
        if hidden is None:  # cancelled: slots written so far are a beginning of the same turn asked again
            return Answer("", (), whole.token_ids, start, "cancelled", turn.statistics())

        tokens, reason = self._generate(hidden, whole, turn)
        kept = text_feed(tokens[:-1] if reason == "stop" else tokens, whole.next_position)
        messages = (*before.messages, *new, Message("assistant", (Text(turn.text),)))
        self.conversation = Conversation(messages, whole.then(kept), before)
        position = whole.next_position + len(tokens)
        return Answer(turn.text, tokens, whole.token_ids, position, reason, turn.statistics())

    def _prepare(self, new: tuple[Message, ...]) -> list[PreparedImage]:
        prepared = []
        for medium in media_of(new):
            if not isinstance(medium, Picture):
                raise UsageError("Videos cannot be asked about yet; give single frames as pictures.")
            prepared.append(self._vision.prepare(medium.source))
        return prepared

    def _encode(
        self, before: Conversation, new: tuple[Message, ...], images: list[PreparedImage]
    ) -> list[int]:
        counts = [self._vision.tokens(image) for image in images]
        if len(before.feed):
            return self._prompts.encode_continuation(before.messages, new, counts)
        return self._prompts.encode((*before.messages, *new), counts)

    def _check_context(self, needed: int, used: int) -> None:
        limit = self._manifest.max_context
        if needed > limit:
            earlier = f", {used} of them from earlier turns" if used else ""
            raise ContextError(
                f"The prompt needs {needed} tokens{earlier}, but this bundle's context holds {limit};"
                " shorten it, lower --max-pixels, begin a new conversation, or export with a larger"
                " --max-context."
            )

    def _encode_images(self, images: list[PreparedImage], turn: Turn) -> list[Media]:
        began = time.perf_counter()
        media = []
        try:
            for image in images:
                encoded, was_cached = self._vision.encode(image)
                media.append(encoded)
                turn.images_cached += was_cached
                turn.images_encoded += not was_cached
        finally:  # an encoder that failed would stay otherwise, through turns without new pictures, too
            if turn.images_cached < len(images) and not self._keep_vision:
                self._engine.vision.release()
        turn.vision_seconds = time.perf_counter() - began
        return media

    def _prefill(self, whole: Feed, turn: Turn) -> Float32 | None:
        """The last token's hidden state (1, hidden_size), or None if cancelled."""
        began = time.perf_counter()
        held = min(self._engine.text.cache.common_prefix(whole), len(whole) - 1)
        hidden = None
        for chunk in self._decoder.feed(whole, held):
            if self._cancelled.is_set():
                return None
            hidden = chunk[-1:]
        turn.prefill_seconds = time.perf_counter() - began
        turn.prefill_tokens = len(whole) - held
        return hidden

    def _generate(self, hidden: Float32, whole: Feed, turn: Turn) -> tuple[tuple[int, ...], StopReason]:
        """Tokens until one ends the answer."""
        stream = self._tokenizer.stream()
        tokens: list[int] = []
        reason: StopReason | None = None
        for token in generate(self._decoder, turn.sampler, hidden, whole.token_ids):
            turn.token_done()
            tokens.append(token)
            if token not in self._manifest.special_tokens.eos:
                turn.add_text(stream.push(token))
            reason = self._reason_to_stop(token, len(whole) + len(tokens), len(tokens), turn)
            if reason is not None:
                break
        turn.add_text(stream.finish())
        assert reason is not None  # generate() has no end
        return tuple(tokens), reason

    def _reason_to_stop(self, token: int, length: int, count: int, turn: Turn) -> StopReason | None:
        if token in self._manifest.special_tokens.eos:
            return "stop"
        if self._cancelled.is_set():
            return "cancelled"
        if count >= turn.max_tokens:
            return "length"
        return "context" if length > self._manifest.max_context else None


def _limited(image: ImageSettings, min_pixels: int | None, max_pixels: int | None) -> ImageSettings:
    try:
        return replace(
            image,
            min_pixels=image.min_pixels if min_pixels is None else min_pixels,
            max_pixels=image.max_pixels if max_pixels is None else max_pixels,
        )
    except ValueError as error:
        raise UsageError(f"These pixel limits cannot be used: {error}.") from None


def _chat_template(bundle: Bundle) -> str | None:
    if not bundle.manifest.chat:
        return None
    path = bundle.path(names.CHAT_TEMPLATE_FILE)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} cannot be read ({error}); copy the bundle again.") from None


def _sampler(defaults: SamplingDefaults) -> Sampler:
    return Sampler(defaults.temperature, defaults.top_k, defaults.top_p, defaults.repetition_penalty)
