"""A conversation about images on one KV cache."""

import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import Any

from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import SamplingDefaults
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.answer import Answer, AnswerStream
from pocketvl.runtime.chat.conversation import Conversation
from pocketvl.runtime.chat.turn import Turn
from pocketvl.runtime.chat.turn_encoder import TurnEncoder
from pocketvl.runtime.decoding.decoder import Decoder
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.decoding.feed import Feed, text_feed
from pocketvl.runtime.decoding.generation import generate
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.decoding.stopping import StopReason, StopRule
from pocketvl.runtime.engine import Engine, Float32
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.media.encoder import VisionPipeline
from pocketvl.runtime.media.image_size import session_limits
from pocketvl.runtime.text.answer_text import AnswerText, boxes_in_pixels
from pocketvl.runtime.text.messages import (
    Message,
    Text,
    is_conversation,
    parse_conversation,
    parse_messages,
)
from pocketvl.runtime.text.prompt import PromptEncoder
from pocketvl.runtime.text.template import read_template
from pocketvl.runtime.text.tokenizer import Tokenizer

DEFAULT_MAX_TOKENS = 256

Content = str | Sequence[Mapping[str, Any]]


class ChatSession:
    """Asks questions, one turn after the other. The bundle's files are loaded when first needed.

    A turn that fails leaves the conversation as it was before. Sessions may share an engine, one answering at
    a time: what another one has driven out of the KV cache is fed again from the kept embeddings.

    conversation: all that was said, as a value. To fork it, keep it and set it again later; to have the last
    answer made anew, set conversation.before.
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

        keep_vision holds the vision encoder in memory between images; else it is released after each
        turn's images are encoded. Raises BundleError, PromptError, UsageError.
        """
        manifest = bundle.manifest
        self._manifest = manifest
        self._engine = engine
        self._stop_repetition = stop_repetition
        self._tokenizer = Tokenizer(bundle.path(names.TOKENIZER_FILE))
        rows = manifest.geometry.text.vocab_size
        self._never = self._tokenizer.check(manifest.special_tokens, rows)  # no token: never to be said
        template = read_template(bundle.path(names.CHAT_TEMPLATE_FILE)) if manifest.chat else None
        prompts = PromptEncoder(
            self._tokenizer, manifest.special_tokens, template, add_vision_id=add_vision_id
        )
        table = EmbeddingMap(bundle.path(manifest.token_embedding.file), manifest.token_embedding)
        self._decoder = Decoder(engine.text, table, manifest)
        settings = session_limits(manifest.image, min_pixels, max_pixels)
        vision = VisionPipeline(manifest, settings, engine.vision)
        self._encoder = TurnEncoder(manifest, prompts, vision, keep_vision)
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

    def measure_image(self, image: Any) -> tuple[int, int, int]:
        """(width, height, tokens) of an image as it would be encoded, in pixels. Raises ImageError."""
        return self._encoder.measure_image(image)

    def reset(self) -> None:
        """Forget the conversation, not the images' embeddings."""
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
        images: Sequence[Any] = (),
        max_tokens: int = DEFAULT_MAX_TOKENS,
        sampler: Sampler | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Answer:
        """One user turn and its answer; arguments and errors are those of stream().

        on_text is called with each piece of text, whole characters only.
        """
        with closing(self.stream(content, images=images, max_tokens=max_tokens, sampler=sampler)) as stream:
            for piece in stream:
                if on_text is not None:
                    on_text(piece)
            return stream.answer

    def stream(
        self,
        content: Content,
        *,
        images: Sequence[Any] = (),
        max_tokens: int = DEFAULT_MAX_TOKENS,
        sampler: Sampler | None = None,
    ) -> AnswerStream:
        """One user turn; its answer piece by piece, worked on while it is read.

        `content` is text or OpenAI-style parts, see messages.py; or a list of messages with roles: a whole
        conversation, which takes the place of the one so far. images, anything that an image part takes, come
        before a text. Without a sampler the bundle's defaults apply. Raises UsageError; and, when it is read,
        ContextError, ImageError, PromptError, EngineError, BundleError, UsageError.
        """
        if max_tokens < 1:
            raise UsageError(f"max_tokens must be at least 1, not {max_tokens}.")
        if images and not isinstance(content, str):
            raise UsageError("images go with a text; in a list of parts, give each image as a part.")
        if images:
            parts = [{"type": "image", "image": image} for image in images]
            content = [*parts, {"type": "text", "text": content}]
        return AnswerStream(self._claimed(content, sampler or _sampler(self._manifest.sampling), max_tokens))

    def _claimed(self, content: Content, sampler: Sampler, max_tokens: int) -> Generator[str, None, Answer]:
        with self._engine.text.cache.claim():
            self._cancelled.clear()
            turn = Turn(sampler, max_tokens)
            if not is_conversation(content):
                new = parse_messages([{"role": "user", "content": content}])
                return (yield from self._answer(self.conversation, new, turn))
            new = parse_conversation(content)
            before = Conversation() if new[0].role == "system" else self._start
            return (yield from self._answer(before, new, turn))

    def _answer(
        self, before: Conversation, new: tuple[Message, ...], turn: Turn
    ) -> Generator[str, None, Answer]:
        encoded = self._encoder.encode(before, new, turn)
        whole = encoded.feed
        hidden = self._prefill(whole, turn)
        if hidden is None:  # cancelled: the slots written so far serve the same turn asked again
            statistics = turn.statistics()
            start = before.feed.next_position
            return Answer("", (), whole.token_ids, start, "cancelled", statistics, notes=encoded.notes)

        text = AnswerText(self._tokenizer)
        tokens, reason = yield from self._generate(hidden, whole, text, turn)
        kept = text_feed(tokens[:-1] if reason == "stop" else tokens, whole.next_position)
        said = Message("assistant", (Text(turn.text),))
        messages = (*before.messages, *encoded.messages, said)
        self.conversation = Conversation(messages, whole.then(kept), encoded.image_sizes, before)
        return Answer(
            text=turn.text,
            token_ids=tokens,
            prompt_token_ids=whole.token_ids,
            next_position=whole.next_position + len(tokens),
            stop_reason=reason,
            statistics=turn.statistics(),
            boxes=boxes_in_pixels(text.boxes, encoded.image_sizes),
            notes=encoded.notes,
        )

    def _prefill(self, whole: Feed, turn: Turn) -> Float32 | None:
        """The last token's hidden state (1, hidden_size), or None if cancelled."""
        began = time.perf_counter()
        held = max(0, min(self._engine.text.cache.common_prefix(whole), len(whole) - 1))
        hidden = None
        for chunk in self._decoder.feed(whole, held):
            if self._cancelled.is_set():
                return None
            hidden = chunk[-1:]
        turn.prefill_seconds = time.perf_counter() - began
        turn.prefill_tokens = len(whole) - held
        return hidden

    def _generate(
        self, hidden: Float32, whole: Feed, text: AnswerText, turn: Turn
    ) -> Generator[str, None, tuple[tuple[int, ...], StopReason]]:
        """Pieces of text, until a token ends the answer; then its tokens."""
        eos = self._manifest.special_tokens.eos
        room = self._manifest.max_context - len(whole)
        rule = StopRule(eos, turn.max_tokens, room, self._stop_repetition)
        tokens: list[int] = []
        reason: StopReason | None = None
        for token in generate(self._decoder, turn.sampler, hidden, whole.token_ids, self._never):
            turn.token_done()
            tokens.append(token)
            if token not in eos and (piece := text.push(token)):
                turn.add_text(piece)
                yield piece
            reason = rule.reason(tokens, self._cancelled.is_set())
            if reason is not None:
                break
        assert reason is not None  # generate() has no end
        if piece := text.finish():
            turn.add_text(piece)
            yield piece
        return tuple(tokens), reason


def _sampler(defaults: SamplingDefaults) -> Sampler:
    return Sampler(defaults.temperature, defaults.top_k, defaults.top_p, defaults.repetition_penalty)
