"""A conversation about images on one KV cache."""

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import Any, Unpack

from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import SamplingDefaults
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.answer import Answer, AnswerStream
from pocketvl.runtime.chat.answering import Answerer
from pocketvl.runtime.chat.conversation import Conversation
from pocketvl.runtime.chat.options import DEFAULT_MAX_TOKENS, AnswerOptions
from pocketvl.runtime.chat.turn import Turn
from pocketvl.runtime.chat.turn_encoder import TurnEncoder
from pocketvl.runtime.decoding.decoder import Decoder
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.media.encoder import VisionPipeline
from pocketvl.runtime.media.image_size import session_limits
from pocketvl.runtime.text.messages import (
    Message,
    is_conversation,
    parse_conversation,
    parse_messages,
)
from pocketvl.runtime.text.prompt import PromptEncoder
from pocketvl.runtime.text.template import read_template
from pocketvl.runtime.text.tokenizer import Tokenizer

Content = str | Sequence[Mapping[str, Any]]


class ChatSession:
    """Asks questions, one turn after the other. The bundle's files are loaded when first needed.

    A turn that fails leaves the conversation as it was before. Sessions may share an engine, one answering at
    a time: what another one has driven out of the KV cache is fed again from the kept embeddings.

    conversation: all that was said, as a value. To fork it, keep it and set it again later; to have the last
    answer made anew, set conversation.before. tokenizer: the bundle's.
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
        tokenizer = self.tokenizer = Tokenizer(bundle.path(names.TOKENIZER_FILE))
        template = read_template(bundle.path(names.CHAT_TEMPLATE_FILE)) if manifest.chat else None
        prompts = PromptEncoder(tokenizer, manifest.special_tokens, template, add_vision_id=add_vision_id)
        table = EmbeddingMap(bundle.path(manifest.token_embedding.file), manifest.token_embedding)
        settings = session_limits(manifest.image, min_pixels, max_pixels)
        vision = VisionPipeline(manifest, settings, engine.vision)
        self._encoder = TurnEncoder(manifest, prompts, vision, keep_vision)
        self._cancelled = threading.Event()
        self._answerer = Answerer(
            manifest,
            Decoder(engine.text, table, manifest),
            engine.text.cache,
            tokenizer,
            never=tokenizer.check(manifest.special_tokens, manifest.geometry.text.vocab_size),
            stop_repetition=stop_repetition,
            cancelled=self._cancelled,
        )
        first = parse_messages([{"role": "system", "content": system}]) if system is not None else ()
        self._start = self.conversation = Conversation(first)

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
        on_text: Callable[[str], None] | None = None,
        **options: Unpack[AnswerOptions],
    ) -> Answer:
        """One user turn and its answer; arguments and errors are those of stream().

        on_text is called with each piece of text, whole characters only.
        """
        with closing(self.stream(content, **options)) as stream:
            for piece in stream:
                if on_text is not None:
                    on_text(piece)
            return stream.answer

    def stream(self, content: Content, **options: Unpack[AnswerOptions]) -> AnswerStream:
        """One user turn; its answer piece by piece, worked on while it is read.

        `content` is text or OpenAI-style parts, see messages.py; or a list of messages with roles: a whole
        conversation, which takes the place of the one so far. Raises UsageError; and, when it is read,
        ContextError, ImageError, PromptError, EngineError, BundleError, UsageError.
        """
        max_tokens = options.get("max_tokens", DEFAULT_MAX_TOKENS)
        if max_tokens < 1:
            raise UsageError(f"max_tokens must be at least 1, not {max_tokens}.")
        content = _with_images(content, options.get("images", ()))
        sampler = options.get("sampler") or _sampler(self._manifest.sampling)
        return AnswerStream(self._claimed(content, Turn(sampler, max_tokens)))

    def _claimed(self, content: Content, turn: Turn) -> Generator[str, None, Answer]:
        with self._engine.text.cache.claim():
            self._cancelled.clear()
            turn.begin()
            before, new = self._messages(content)
            encoded = self._encoder.encode(before, new, turn)
            answer, after = yield from self._answerer.answer(before, encoded, turn)
            if answer.token_ids:
                self.conversation = after
            return answer

    def _messages(self, content: Content) -> tuple[Conversation, tuple[Message, ...]]:
        """The conversation that goes on, and what is new in it."""
        if not is_conversation(content):
            return self.conversation, parse_messages([{"role": "user", "content": content}])
        new = parse_conversation(content)
        return Conversation() if new[0].role == "system" else self._start, new


def _with_images(content: Content, images: Sequence[Any]) -> Content:
    if not images:
        return content
    if not isinstance(content, str):
        raise UsageError("images go with a text; in a list of parts, give each image as a part.")
    return [*({"type": "image", "image": image} for image in images), {"type": "text", "text": content}]


def _sampler(defaults: SamplingDefaults) -> Sampler:
    return Sampler(defaults.temperature, defaults.top_k, defaults.top_p, defaults.repetition_penalty)
