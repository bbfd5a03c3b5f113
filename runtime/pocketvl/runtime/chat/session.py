"""A conversation about images and videos on one KV cache."""

import threading
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any, Self, Unpack

from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.chat.answer import Answer, AnswerStream
from pocketvl.runtime.chat.answering import Answerer
from pocketvl.runtime.chat.conversation import Conversation
from pocketvl.runtime.chat.options import AnswerOptions, Content, with_media
from pocketvl.runtime.chat.saved.cache import put_cache, take_cache
from pocketvl.runtime.chat.saved.storage import SavedChat, SessionOptions, read_chat, write_chat
from pocketvl.runtime.chat.turn import Turn
from pocketvl.runtime.chat.turn_encoder import EncodedTurn, TurnEncoder
from pocketvl.runtime.chat.turn_maker import TurnMaker
from pocketvl.runtime.decoding.constraint import Grammars
from pocketvl.runtime.decoding.decoder import Decoder
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.media.encoder import EncodedImage, VisionPipeline
from pocketvl.runtime.media.image_size import session_limits
from pocketvl.runtime.text.messages import (
    Message,
    VideoPart,
    are_results,
    is_conversation,
    parse_conversation,
    parse_messages,
    parse_results,
)
from pocketvl.runtime.text.prompt import PromptEncoder
from pocketvl.runtime.text.template import read_template
from pocketvl.runtime.text.tokenizer import Tokenizer

_Encode = Callable[[Turn], tuple[Conversation, EncodedTurn]]


class ChatSession:
    """Asks questions, one turn after the other. The bundle's files are loaded when first needed.

    A turn that fails leaves the conversation as it was before. Sessions may share an engine, one answering at
    a time: what another one has driven out of the KV cache is fed again from the kept embeddings.

    conversation: all that was said, as a value. To fork it, keep it and set it again later; to take the last
    turn back, set conversation.before. Whatever is set, only what the KV cache lacks of it is fed.
    tokenizer: the bundle's.
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
        rows = manifest.geometry.text.vocab_size
        never = tokenizer.check(manifest.special_tokens, rows)
        grammars = Grammars(bundle.path(names.TOKENIZER_FILE), rows, manifest.special_tokens.eos)
        self._turns = TurnMaker(manifest, grammars, never)
        self._cancelled = threading.Event()
        self._vision, self._keep_vision = vision, keep_vision
        self._encoder = TurnEncoder(manifest, prompts, vision, keep_vision, self._cancelled)
        self._answerer = Answerer(
            manifest,
            Decoder(engine.text, table, manifest),
            engine.text.cache,
            tokenizer,
            never=never,
            stop_repetition=stop_repetition,
            cancelled=self._cancelled,
            costs=engine.costs,
        )
        first = parse_messages([{"role": "system", "content": system}]) if system is not None else ()
        self._start = self.conversation = Conversation(first)
        self._options = SessionOptions(min_pixels, max_pixels, add_vision_id, stop_repetition)

    @classmethod
    def restore(cls, path: str | Path, bundle: Bundle, engine: Engine, *, keep_vision: bool = False) -> Self:
        """The session that save() wrote, with a bundle of the same files. What was saved of the KV cache
        takes the place of what the engine's holds; the rest is fed with the next question.

        Raises ConversationError for a damaged file or another bundle's, and what making a session raises.
        """
        saved = read_chat(Path(path), bundle.manifest)
        options = saved.options
        session = cls(
            bundle,
            engine,
            min_pixels=options.min_pixels,
            max_pixels=options.max_pixels,
            keep_vision=keep_vision,
            add_vision_id=options.add_vision_id,
            stop_repetition=options.stop_repetition,
        )
        session.conversation = session._start = saved.conversation
        while session._start.before is not None:
            session._start = session._start.before
        put_cache(engine.text, saved.conversation.feed, saved.cached_slots, saved.cache)
        return session

    @property
    def next_position(self) -> int:
        """Rope position that the next token gets."""
        return self.conversation.feed.next_position

    @property
    def free_context(self) -> int:
        """Tokens that still fit."""
        return max(0, self._manifest.max_context - len(self.conversation.feed))

    @property
    def max_context(self) -> int:
        """Tokens that a conversation can have."""
        return self._manifest.max_context

    def count_tokens(self, content: Content) -> int:
        """Of the whole prompt, if `content` were asked, as stream() takes it; nothing is encoded.

        Raises ImageError, PromptError.
        """
        return self._encoder.count_tokens(*self._messages(content))

    def measure_image(self, image: Any) -> tuple[int, int, int]:
        """(width, height, tokens) of an image as it would be encoded, in pixels. Raises ImageError."""
        return self._encoder.measure_image(image)

    def encode_image(self, image: Any) -> EncodedImage:
        """Encode it now, to ask about it later: give it where a message takes an image.

        From any thread, also while an answer is made. `image` is what an image part takes. Without
        keep_vision the encoder is released again. Raises ImageError, EngineError, BundleError.
        """
        try:
            return self._vision.encode_now(image)
        finally:
            if not self._keep_vision:
                self._vision.release()

    def measure_video(self, video: Any, **options: Any) -> tuple[int, int, int, int]:
        """(frames, width, height, tokens) of a video as it would be encoded, in pixels.

        options: the keys of a video part. Raises VideoError, PromptError.
        """
        part = {**options, "type": "video", "video": video}
        (message,) = parse_messages([{"role": "user", "content": [part]}])
        (parsed,) = (part for part in message.parts if isinstance(part, VideoPart))
        return self._encoder.measure_video(parsed)

    def reset(self) -> None:
        """Forget the conversation, not the images' embeddings."""
        self.conversation = self._start

    def cancel(self) -> None:
        """Stop the answer in progress, from any thread. What was said so far stays in the conversation."""
        self._cancelled.set()

    def save(self, path: str | Path) -> None:
        """Write the conversation to the file `path`, with all that going on takes: texts, tokens, images'
        embeddings and, of what the engine can give, keys and values. The images themselves are not saved.

        Raises ConversationError; UsageError while an answer is made.
        """
        held, cache = take_cache(self._engine.text, self.conversation.feed)
        write_chat(Path(path), self._manifest, SavedChat(self._options, self.conversation, held, cache))

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
        conversation, which takes the place of the one so far, or {"role": "tool", ...} alone, the results of
        all tools that the last answer called, after which it goes on. What the old and the new conversation
        begin with is not fed again. Raises UsageError; and, when it is read, ContextError, ImageError,
        PromptError, EngineError, BundleError, UsageError.
        """
        content = with_media(content, options)
        return AnswerStream(
            self._claimed(lambda turn: self._encode(content, turn), self._turns.turn(options))
        )

    def check(self, **options: Unpack[AnswerOptions]) -> None:
        """Raises what stream() raises for options that cannot be meant, such as a regular expression that
        does not hold."""
        self._turns.turn(options)

    def regenerate(
        self, *, on_text: Callable[[str], None] | None = None, **options: Unpack[AnswerOptions]
    ) -> Answer:
        """The last answer made anew: the same question, of which one token is fed.

        It takes the place of the one before only if it succeeds. Raises UsageError, EngineError.
        """
        if options.get("images") or options.get("videos"):
            raise UsageError("An answer is made anew about what it had; leave out images and videos.")
        with closing(AnswerStream(self._claimed(self._encode_again, self._turns.turn(options)))) as stream:
            for piece in stream:
                if on_text is not None:
                    on_text(piece)
            return stream.answer

    def _claimed(self, encode: _Encode, turn: Turn) -> Generator[str, None, Answer]:
        with self._engine.text.cache.claim():
            self._cancelled.clear()
            turn.begin()
            before, encoded = encode(turn)
            answer, after = yield from self._answerer.answer(before, encoded, turn)
            if answer.token_ids:
                self.conversation = after
            return answer

    def _encode(self, content: Content, turn: Turn) -> tuple[Conversation, EncodedTurn]:
        """The conversation that goes on, and its next turn."""
        before, new = self._messages(content)
        before = before.with_tools(turn.tools)
        if is_conversation(content) and not are_results(content):
            return self._encoder.encode_whole(self.conversation, before, new, turn)
        return before, self._encoder.encode(before, new, turn)

    def _messages(self, content: Content) -> tuple[Conversation, tuple[Message, ...]]:
        """The conversation that goes on, or the start of a new one, and what is new in it."""
        if not is_conversation(content):
            return self.conversation, parse_messages([{"role": "user", "content": content}])
        if are_results(content):
            return self.conversation, parse_results(content, self.conversation.open_calls)
        new = parse_conversation(content)
        return Conversation() if new[0].role == "system" else self._start, new

    def _encode_again(self, turn: Turn) -> tuple[Conversation, EncodedTurn]:
        """The last turn as it was encoded."""
        last = self.conversation.with_tools(turn.tools)
        if last.before is None:
            raise UsageError("There is no answer to make anew; ask a question first.")
        messages = last.messages[len(last.before.messages) : -1]
        feed = last.feed.first(last.answer_start)
        return last.before, EncodedTurn(messages, feed, last.image_sizes, ())
