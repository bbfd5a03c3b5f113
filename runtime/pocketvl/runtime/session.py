"""A conversation about pictures on one KV cache."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime import names
from pocketvl.runtime.answer import Answer, StopReason
from pocketvl.runtime.answer_text import AnswerText, boxes_in_pixels
from pocketvl.runtime.bundle import Bundle
from pocketvl.runtime.embedding import EmbeddingMap
from pocketvl.runtime.engine import Engine, Float32
from pocketvl.runtime.errors import ContextError, UsageError
from pocketvl.runtime.geometry import SamplingDefaults
from pocketvl.runtime.grounding import Size
from pocketvl.runtime.image_size import session_limits
from pocketvl.runtime.manifest import Manifest
from pocketvl.runtime.messages import (
    Message,
    Picture,
    Text,
    is_conversation,
    media_of,
    parse_conversation,
    parse_messages,
    with_thousandths,
)
from pocketvl.runtime.positions import mrope_positions
from pocketvl.runtime.prefill import Decoder, Prompt, placeholders
from pocketvl.runtime.prompt import PromptEncoder
from pocketvl.runtime.repetition import repeats
from pocketvl.runtime.sampling import Sampler
from pocketvl.runtime.template import read_template
from pocketvl.runtime.tokenizer import Tokenizer
from pocketvl.runtime.turn import Turn
from pocketvl.runtime.vision import PreparedImage, VisionPipeline

DEFAULT_MAX_TOKENS = 256

Content = str | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class _Conversation:
    """All that carries over from one turn to the next."""

    messages: tuple[Message, ...]
    token_ids: tuple[int, ...]  # without the stop token of the last answer
    cached: int  # the first so many of them stand in the KV slots 0..cached-1
    next_position: int  # rope position of the token after token_ids; not their number
    image_sizes: tuple[Size, ...] = ()  # of all images, as they were given


class ChatSession:
    """Asks questions, one turn after the other. The bundle's files are loaded when first needed.

    A turn that fails leaves the conversation as it was before. Sessions may share an engine, one answering at
    a time; a conversation that another one has driven out of the KV cache can only be begun anew.
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
        add_vision_id: bool = False,
        stop_repetition: bool = True,
    ) -> None:
        """`system` replaces the template's default system turn. The pixel limits override the bundle's.
        `add_vision_id` numbers the images in the prompt, "Picture 1: ". With `stop_repetition` an answer that
        repeats itself without end is ended, see repetition.py.

        keep_vision holds the vision encoder in memory between pictures; else it is released after each
        turn's pictures are encoded. Raises BundleError, PromptError, UsageError.
        """
        manifest = bundle.manifest
        self._manifest = manifest
        self._engine = engine
        self._keep_vision = keep_vision
        self._tokenizer = Tokenizer(bundle.path(names.TOKENIZER_FILE))
        rows = manifest.geometry.text.vocab_size
        self._never = self._tokenizer.check(manifest.special_tokens, rows)  # no token: never to be said
        self._stop_repetition = stop_repetition
        template = read_template(bundle.path(names.CHAT_TEMPLATE_FILE)) if manifest.chat else None
        self._prompts = PromptEncoder(
            self._tokenizer, manifest.special_tokens, template, add_vision_id=add_vision_id
        )
        table = EmbeddingMap(bundle.path(manifest.token_embedding.file), manifest.token_embedding)
        self._decoder = Decoder(engine, table, manifest)
        settings = session_limits(manifest.image, min_pixels, max_pixels)
        self._vision = VisionPipeline(manifest, settings, engine)
        first = parse_messages([{"role": "system", "content": system}]) if system is not None else ()
        self._start = _Conversation(first, (), 0, 0)
        self._conversation = self._start
        self._cancelled = threading.Event()

    @property
    def next_position(self) -> int:
        """Rope position that the next token gets."""
        return self._conversation.next_position

    @property
    def free_context(self) -> int:
        """Tokens that still fit."""
        return max(0, self._manifest.max_context - len(self._conversation.token_ids))

    def measure_image(self, image: Any) -> tuple[int, int, int]:
        """(width, height, tokens) of an image as it would be encoded, in pixels. Raises ImageError."""
        prepared = self._vision.prepare(image)
        return (*prepared.image.size, self._vision.tokens(prepared))

    def reset(self) -> None:
        """Forget the conversation, not the pictures' embeddings."""
        self._conversation = self._start

    def cancel(self) -> None:
        """Stop the answer in progress, from any thread. What was said so far stays in the conversation."""
        self._cancelled.set()

    def close(self) -> None:
        """Free the engine's memory, the conversation's keys and values with it. Raises UsageError."""
        with self._engine_in_use():
            self._engine.close()

    def ask(
        self,
        content: Content,
        *,
        max_tokens: int = DEFAULT_MAX_TOKENS,
        sampler: Sampler | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Answer:
        """One user turn and its answer. `content` is text or OpenAI-style parts, see messages.py; or a
        list of messages with roles: a whole conversation, which takes the place of the one so far.

        on_text is called with each piece of text, whole characters only. Without a sampler the bundle's
        defaults apply. Raises ContextError, ImageError, PromptError, EngineError, BundleError, UsageError.
        """
        if max_tokens < 1:
            raise UsageError(f"max_tokens must be at least 1, not {max_tokens}.")
        with self._engine_in_use():
            self._cancelled.clear()
            turn = Turn(sampler or _sampler(self._manifest.sampling), max_tokens, on_text)
            if not is_conversation(content):
                new = parse_messages([{"role": "user", "content": content}])
                return self._answer(self._conversation, new, turn)
            new = parse_conversation(content)
            has_system = new[0].role == "system"
            return self._answer(_Conversation((), (), 0, 0) if has_system else self._start, new, turn)

    @contextmanager
    def _engine_in_use(self) -> Iterator[None]:
        if not self._engine.cache.in_use.acquire(blocking=False):
            raise UsageError("This engine is answering already; wait for it, or cancel it.")
        try:
            yield
        finally:
            self._engine.cache.in_use.release()

    def _answer(self, before: _Conversation, new: tuple[Message, ...], turn: Turn) -> Answer:
        self._check_cache(before)
        images = self._prepare(new)
        sizes = (*before.image_sizes, *(image.source_size for image in images))
        new = with_thousandths(new, sizes, len(before.image_sizes))
        ids = self._encode(before, new, images)
        whole = (*before.token_ids, *ids)
        self._check_context(len(whole), len(before.token_ids))

        embeddings = self._encode_images(images, turn)
        positions, next_position = mrope_positions(
            ids,
            [image.grid for image in images],
            self._manifest.special_tokens,
            self._manifest.geometry.vision.spatial_merge_size,
            before.next_position,
        )
        self._conversation = before  # another one is overwritten in the cache from here on
        hidden = self._prefill(_prompt(before, ids, positions, embeddings, self._manifest), turn)
        if hidden is None:  # cancelled: slots written so far are overwritten by the next turn
            return Answer("", (), whole, before.next_position, "cancelled", turn.statistics())

        tokens, reason = self._generate(hidden, whole, next_position, turn, sizes)
        kept = tokens[:-1] if reason == "stop" else tokens
        self._conversation = _Conversation(
            messages=(*before.messages, *new, Message("assistant", (Text(turn.text),))),
            token_ids=(*whole, *kept),
            cached=len(whole) + len(tokens) - 1,  # the last token was never fed
            next_position=next_position + len(kept),
            image_sizes=sizes,
        )
        notes = tuple(note for image in images for note in image.notes)
        position = next_position + len(tokens)
        return Answer(turn.text, tokens, whole, position, reason, turn.statistics(), turn.boxes, notes)

    def _prepare(self, new: tuple[Message, ...]) -> list[PreparedImage]:
        prepared = []
        for medium in media_of(new):
            if not isinstance(medium, Picture):
                raise UsageError("Videos cannot be asked about yet; give single frames as pictures.")
            prepared.append(self._vision.prepare(medium.source, medium.size))
        return prepared

    def _encode(
        self, before: _Conversation, new: tuple[Message, ...], images: list[PreparedImage]
    ) -> list[int]:
        counts = [self._vision.tokens(image) for image in images]
        if before.token_ids:
            return self._prompts.encode_continuation(before.messages, new, counts)
        return self._prompts.encode((*before.messages, *new), counts)

    def _check_cache(self, before: _Conversation) -> None:
        if before.cached and not self._decoder.cache_is_untouched:
            raise UsageError(
                "This conversation is no longer in the engine's KV cache: it was closed, or another session"
                " answered with it. Call reset() and begin anew, or give each conversation its own engine."
            )

    def _check_context(self, needed: int, used: int) -> None:
        limit = self._manifest.max_context
        if needed > limit:
            earlier = f", {used} of them from earlier turns" if used else ""
            raise ContextError(
                f"The prompt needs {needed} tokens{earlier}, but this bundle's context holds {limit};"
                " shorten it, lower --max-pixels, begin a new conversation, or export with a larger"
                " --max-context."
            )

    def _encode_images(self, images: list[PreparedImage], turn: Turn) -> list[Float32]:
        began = time.perf_counter()
        embeddings = []
        try:
            for image in images:
                encoded, was_cached = self._vision.encode(image)
                embeddings.append(encoded.embeddings)
                turn.images_cached += was_cached
                turn.images_encoded += not was_cached
        finally:  # an encoder that failed would stay otherwise, through turns without new pictures, too
            if turn.images_cached < len(images) and not self._keep_vision:
                self._engine.release_vision()
        turn.vision_seconds = time.perf_counter() - began
        return embeddings

    def _prefill(self, prompt: Prompt, turn: Turn) -> Float32 | None:
        """The last token's hidden state (1, hidden_size), or None if cancelled."""
        began = time.perf_counter()
        hidden = None
        for chunk in self._decoder.feed(prompt):
            if self._cancelled.is_set():
                return None
            hidden = chunk[-1:]
        turn.prefill_seconds = time.perf_counter() - began
        turn.prefill_tokens = len(prompt.token_ids)
        return hidden

    def _generate(
        self, hidden: Float32, prompt: tuple[int, ...], position: int, turn: Turn, sizes: tuple[Size, ...]
    ) -> tuple[tuple[int, ...], StopReason]:
        """Tokens until one ends the answer; each is fed only if another is to follow."""
        text = AnswerText(self._tokenizer)
        tokens: list[int] = []
        while True:
            logits = self._decoder.logits(hidden)[0]
            token = turn.sampler.sample(logits, (*prompt, *tokens), self._never)
            turn.token_done()
            tokens.append(token)
            if token not in self._manifest.special_tokens.eos:
                turn.add_text(text.push(token))
            reason = self._reason_to_stop(tokens, len(prompt) + len(tokens), turn)
            if reason is not None:
                turn.add_text(text.finish())
                turn.boxes = boxes_in_pixels(text.boxes, sizes)
                return tuple(tokens), reason
            before = len(tokens) - 1
            hidden = self._decoder.step(token, position + before, len(prompt) + before)

    def _reason_to_stop(self, tokens: list[int], length: int, turn: Turn) -> StopReason | None:
        if tokens[-1] in self._manifest.special_tokens.eos:
            return "stop"
        if self._cancelled.is_set():
            return "cancelled"
        if len(tokens) >= turn.max_tokens:
            return "length"
        if length > self._manifest.max_context:
            return "context"
        return "repetition" if self._stop_repetition and repeats(tokens) else None


def _prompt(
    before: _Conversation,
    ids: list[int],
    positions: NDArray[np.int64],
    images: list[Float32],
    manifest: Manifest,
) -> Prompt:
    """What is not in the cache yet: the end of the last answer, as plain text, then the new turn."""
    unfed = before.token_ids[before.cached :]
    tail = np.arange(before.next_position - len(unfed), before.next_position)
    is_image = placeholders(ids, manifest.special_tokens)
    return Prompt(
        token_ids=(*unfed, *ids),
        positions=np.concatenate([np.broadcast_to(tail, (3, len(unfed))), positions], axis=1),
        cache_position=before.cached,
        is_image=np.concatenate([np.zeros(len(unfed), np.bool_), is_image]),
        images=images,
    )


def _sampler(defaults: SamplingDefaults) -> Sampler:
    return Sampler(defaults.temperature, defaults.top_k, defaults.top_p, defaults.repetition_penalty)
