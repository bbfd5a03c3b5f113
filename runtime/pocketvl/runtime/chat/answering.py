"""From an encoded turn to its answer: prefill what the KV cache lacks, then token after token."""

import time
from collections.abc import Generator
from threading import Event

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.chat.answer import Answer
from pocketvl.runtime.chat.answer_builder import AnswerBuilder
from pocketvl.runtime.chat.conversation import Conversation
from pocketvl.runtime.chat.turn import Turn
from pocketvl.runtime.chat.turn_encoder import EncodedTurn
from pocketvl.runtime.decoding.decoder import Decoder
from pocketvl.runtime.decoding.feed import Feed, text_feed
from pocketvl.runtime.decoding.generation import generate
from pocketvl.runtime.decoding.kv_cache import KVCache
from pocketvl.runtime.decoding.speculation.draft_length import DRAFT_LENGTHS, PassCosts
from pocketvl.runtime.decoding.speculation.prompt_lookup import PromptLookup
from pocketvl.runtime.decoding.stopping import StopReason, StopRule
from pocketvl.runtime.engine import Float32
from pocketvl.runtime.text.answer_text import boxes_in_pixels, quads_in_pixels
from pocketvl.runtime.text.messages import Message
from pocketvl.runtime.text.tokenizer import Tokenizer
from pocketvl.runtime.text.tools.stream import ToolStream


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
        costs: PassCosts,
    ) -> None:
        """never: ids that are not drawn. costs: the engine's."""
        self._manifest = manifest
        self._decoder = decoder
        self._cache = cache
        self._tokenizer = tokenizer
        self._never = never
        self._stop_repetition = stop_repetition
        self._cancelled = cancelled
        self._costs = costs

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

        messages = (*before.messages, *encoded.messages)
        calls = ToolStream(
            before.tools,
            calls_before=sum(len(message.calls) for message in messages),
            after_results=messages[-1].role == "tool",
        )
        built = AnswerBuilder(self._tokenizer, self._manifest.special_tokens.eos, turn.stop, calls)
        reason = yield from self._generate(hidden, whole, built, turn)
        after = Conversation(
            (*messages, Message("assistant", built.parts())),
            whole.then(text_feed(built.kept(), whole.next_position)),
            encoded.image_sizes,
            before,
            answer_start=len(whole),
            tools=before.tools,
        )
        answer = Answer(
            text=built.text,
            token_ids=built.tokens,
            prompt_token_ids=whole.token_ids,
            next_position=whole.next_position + len(built.tokens),
            stop_reason=reason,
            statistics=turn.statistics(),
            boxes=boxes_in_pixels(built.boxes, encoded.image_sizes),
            notes=encoded.notes,
            stop_string=built.stop_string,
            logprobs=tuple(one.spelled(self._spell) for one in turn.logprobs),
            tool_calls=tuple(built.tool_calls),
            quads=quads_in_pixels(built.quads, encoded.image_sizes),
        )
        return answer, after

    def _prefill(self, whole: Feed, turn: Turn) -> Float32 | None:
        """The last token's hidden state (1, hidden_size), or None if cancelled."""
        began = time.perf_counter()
        turn.reused_tokens = self._cache.plan(whole).kept
        chunks = self._decoder.feed(whole, turn.reused_tokens)
        hidden = None
        while not self._cancelled.is_set():
            chunk = next(chunks, None)
            if chunk is None:
                return hidden
            hidden = chunk[-1:]
            turn.prefill_tokens += len(chunk)
            turn.prefill_seconds = time.perf_counter() - began
        return None

    def _generate(
        self, hidden: Float32, whole: Feed, built: AnswerBuilder, turn: Turn
    ) -> Generator[str, None, StopReason]:
        """Pieces of text, until a token ends the answer; then why."""
        eos = self._manifest.special_tokens.eos
        room = self._manifest.max_context - len(whole)
        rule = StopRule(eos, turn.max_tokens, room, self._stop_repetition)
        proposer = self._lookup(whole) if turn.lookup else None
        reason: StopReason | None = None
        choices = generate(self._decoder, turn.chooser, hidden, whole.token_ids, rule.most, proposer)
        for choice in choices:
            turn.token_done(choice)
            if piece := built.push(choice.token):
                yield piece
            is_whole = choice.is_last or built.is_stopped
            reason = rule.reason(built.tokens, cancelled=self._cancelled.is_set(), is_whole=is_whole)
            if reason is not None:
                break
        assert reason is not None  # generate() has no end
        if proposer is not None:
            turn.drafted_tokens, turn.accepted_tokens = proposer.drafted, proposer.accepted
        if piece := built.finish():
            yield piece
        return "tool_calls" if reason == "stop" and built.tool_calls else reason

    def _spell(self, token: int) -> bytes:
        return self._tokenizer.token_bytes(token, skip_special=False)

    def _lookup(self, whole: Feed) -> PromptLookup:
        """Drafts nothing that stands for an image, ends an answer, or is no token."""
        special = self._manifest.special_tokens
        never = {special.image_pad, special.video_pad, *special.eos, *self._never.tolist()}
        most = min(DRAFT_LENGTHS[-1], self._manifest.prefill_chunk - 1)
        return PromptLookup(whole.token_ids, never, self._costs, most)
