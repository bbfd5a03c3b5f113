"""From an encoded turn to its answer: prefill what the KV cache lacks, then token after token."""

import time
from collections.abc import Generator
from threading import Event

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.chat.answer import Answer
from pocketvl.runtime.chat.conversation import Conversation
from pocketvl.runtime.chat.turn import Turn
from pocketvl.runtime.chat.turn_encoder import EncodedTurn
from pocketvl.runtime.decoding.decoder import Decoder
from pocketvl.runtime.decoding.feed import Feed, text_feed
from pocketvl.runtime.decoding.generation import generate
from pocketvl.runtime.decoding.kv_cache import KVCache
from pocketvl.runtime.decoding.stopping import StopReason, StopRule
from pocketvl.runtime.engine import Float32
from pocketvl.runtime.text.answer_text import AnswerText, boxes_in_pixels, quads_in_pixels
from pocketvl.runtime.text.messages import Message, Text
from pocketvl.runtime.text.tokenizer import Tokenizer
from pocketvl.runtime.text.tool_stream import ToolStream, kept_tokens


class Answerer:
    """For one session, which holds the cache's claim meanwhile. `cancelled` may be set by any thread."""

    def __init__(
        self,
        manifest: Manifest,
        decoder: Decoder,
        cache: KVCache,
        tokenizer: Tokenizer,
        *,
        never: NDArray[np.int64],
        stop_repetition: bool,
        cancelled: Event,
    ) -> None:
        """never: ids that are not drawn."""
        self._manifest = manifest
        self._decoder = decoder
        self._cache = cache
        self._tokenizer = tokenizer
        self._never = never
        self._stop_repetition = stop_repetition
        self._cancelled = cancelled

    def answer(
        self, before: Conversation, encoded: EncodedTurn, turn: Turn
    ) -> Generator[str, None, tuple[Answer, Conversation]]:
        """Pieces of text; in the end the answer, and the conversation with it.

        A turn that is cancelled before its first token leaves the conversation at `before`: the slots written
        so far serve the same turn asked again. Raises ContextError, EngineError.
        """
        whole = encoded.feed
        hidden = self._prefill(whole, turn)
        if hidden is None:
            statistics = turn.statistics()
            start = before.feed.next_position
            cancelled = Answer("", (), whole.token_ids, start, "cancelled", statistics, notes=encoded.notes)
            return cancelled, before

        text = AnswerText(self._tokenizer)
        messages = (*before.messages, *encoded.messages)
        calls = ToolStream(
            before.tools,
            calls_before=sum(len(message.calls) for message in messages),
            after_results=messages[-1].role == "tool",
        )
        tokens, reason = yield from self._generate(hidden, whole, text, calls, turn)
        said = tokens[:-1] if tokens[-1] in self._manifest.special_tokens.eos else tokens
        kept = kept_tokens(said, self._tokenizer, calls.stopped_by, bool(turn.calls))
        parts = (Text(turn.text), *turn.calls) if turn.text or not turn.calls else tuple(turn.calls)
        after = Conversation(
            (*messages, Message("assistant", parts)),
            whole.then(text_feed(kept, whole.next_position)),
            encoded.image_sizes,
            before,
            tools=before.tools,
        )
        answer = Answer(
            text=turn.text,
            token_ids=tokens,
            prompt_token_ids=whole.token_ids,
            next_position=whole.next_position + len(tokens),
            stop_reason=reason,
            statistics=turn.statistics(),
            boxes=boxes_in_pixels(text.boxes, encoded.image_sizes),
            notes=encoded.notes,
            tool_calls=tuple(turn.calls),
            quads=quads_in_pixels(text.quads, encoded.image_sizes),
        )
        return answer, after

    def _prefill(self, whole: Feed, turn: Turn) -> Float32 | None:
        """The last token's hidden state (1, hidden_size), or None if cancelled."""
        began = time.perf_counter()
        held = max(0, min(self._cache.common_prefix(whole), len(whole) - 1))
        hidden = None
        for chunk in self._decoder.feed(whole, held):
            if self._cancelled.is_set():
                return None
            hidden = chunk[-1:]
        turn.prefill_seconds = time.perf_counter() - began
        turn.prefill_tokens = len(whole) - held
        return hidden

    def _generate(
        self, hidden: Float32, whole: Feed, text: AnswerText, calls: ToolStream, turn: Turn
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
                yield from turn.add(calls.push(piece))
            reason = "stop" if calls.stopped_by else rule.reason(tokens, self._cancelled.is_set())
            if reason is not None:
                break
        assert reason is not None  # generate() has no end
        yield from turn.add([*calls.push(text.finish()), *calls.finish()])
        return tuple(tokens), "tool_calls" if reason == "stop" and turn.calls else reason
