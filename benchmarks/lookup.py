"""What prompt lookup costs and gives on this machine, with a bundle of any weights.

    python benchmarks/lookup.py cost BUNDLE        passes over 1..16 tokens, relative to one token
    python benchmarks/lookup.py agreement BUNDLE   how often a pass over several tokens chooses another one
    python benchmarks/lookup.py speed BUNDLE       whole answers with and without lookup, by turns

`speed` says nothing about how often a model quotes: its answers are scripted, a text of the prompt in which
every so many tokens (--share of them) are others, drawn at random. What is measured is what a model that
quotes so often would gain, or lose.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.decoder import Decoder
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.decoding.feed import text_feed
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engine import Engine, Float32
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.text.tokenizer import Tokenizer

ROWS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16)
PROMPT = 256  # tokens before those that are timed


Clock = Callable[[], float]


class Scripted(Sampler):
    """Says these tokens, one after the other, whatever the logits are, and notes when."""

    def __init__(self, tokens: Sequence[int], clock: Clock) -> None:
        super().__init__()
        self._tokens = iter(tokens)
        self._clock = clock
        self._times: list[float] = []

    def sample(self, logits: object, seen: object = (), never: object = None) -> int:
        self._times.append(self._clock())
        return next(self._tokens)

    def rate(self) -> float:
        """Tokens a second after the first."""
        return (len(self._times) - 1) / (self._times[-1] - self._times[0])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["cost", "agreement", "speed"])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=7, help="of each measurement")
    parser.add_argument("--tokens", type=int, default=128, help="of an answer")
    parser.add_argument("--share", type=float, action="append", help="of tokens that are no quotes")
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="with --threads 1, on a machine that does other work, too",
    )
    options = parser.parse_args()
    clock = time.process_time if options.processor_time else time.perf_counter
    bundle = open_bundle(options.bundle)
    engine = open_engine(bundle, None if bundle.manifest.target == names.COREML else options.threads)
    print(f"{options.bundle.name}, {options.threads} threads, load {os.getloadavg()[0]:.1f} before")
    match options.what:
        case "cost":
            cost(bundle, engine, options.rounds, clock)
        case "agreement":
            agreement(bundle, engine, options.tokens)
        case _:
            for share in options.share or (0.0, 0.05, 0.1, 0.2, 0.5, 1.0):
                speed(bundle, engine, share, options.tokens, options.rounds, clock)
    print(f"load {os.getloadavg()[0]:.1f} after")


def cost(bundle: Bundle, engine: Engine, rounds: int, clock: Clock) -> None:
    """Sizes by turns, so that whatever else the machine does hits all of them."""
    decoder, tokens = opened(bundle, engine), some_tokens(bundle, PROMPT + max(ROWS))
    last(decoder.feed(text_feed(tokens[:PROMPT], 0)))
    seconds: dict[int, list[float]] = {rows: [] for rows in ROWS}
    for turn in range(rounds + 1):
        for rows in ROWS:
            decoder.truncate(PROMPT)
            began = clock()
            decoder.logits(decoder.extend(tokens[PROMPT : PROMPT + rows]))
            if turn:  # the first pass of a size prepares buffers
                seconds[rows].append(clock() - began)
    print("| tokens | median | relative | best | relative |\n|---|---|---|---|---|")
    one, best = median(seconds[1]), min(seconds[1])
    for rows, each in seconds.items():
        print(
            f"| {rows} | {median(each) * 1e3:.0f} ms | {median(each) / one:.2f} |"
            f" {min(each) * 1e3:.0f} ms | {min(each) / best:.2f} |"
        )


def agreement(bundle: Bundle, engine: Engine, count: int) -> None:
    """An answer drawn one by one, then the same tokens in passes over several: where is the likeliest next
    token another one?"""
    sampler = Sampler(temperature=4.0, seed=0)  # cooler, an aimless answer soon repeats itself
    decoder, prompt = opened(bundle, engine), some_tokens(bundle, 32)
    hidden = last(decoder.feed(text_feed(prompt, 0)))[-1:]
    tokens, plain = [], []
    for _ in range(count):
        tokens.append(sampler.sample(decoder.logits(hidden)[0]))
        hidden = decoder.extend(tokens[-1:])
        plain.append(decoder.logits(hidden)[0])
    print(
        "| tokens a pass | others chosen | largest difference of a logit | gap of the two likeliest, median |"
    )
    print("|---|---|---|---|")
    two = np.sort(np.stack(plain), axis=1)[:, -2:]
    for rows in (2, 4, 8, 16):
        decoder.truncate(len(prompt))
        parts = [decoder.extend(tokens[start : start + rows]) for start in range(0, count, rows)]
        logits = decoder.logits(np.concatenate(parts))
        others = int((logits.argmax(1) != np.stack(plain).argmax(1)).sum())
        difference = np.abs(logits - np.stack(plain)).max()
        print(f"| {rows} | {others} of {count} | {difference:.2g} | {np.median(two[:, 1] - two[:, 0]):.2g} |")


def speed(bundle: Bundle, engine: Engine, share: float, count: int, rounds: int, clock: Clock) -> None:
    """Tokens a second of scripted answers, lookup on and off by turns; the best of each counts."""
    tokenizer = Tokenizer(bundle.path(names.TOKENIZER_FILE))
    text = tokenizer.decode(some_tokens(bundle, count))
    quoted = tokenizer.encode_text(text)[:count]
    other = np.random.default_rng(1).random(len(quoted)) < share
    script = np.where(other, some_tokens(bundle, len(quoted), seed=2), quoted).tolist()
    session = ChatSession(bundle, engine, stop_repetition=False)
    rates: dict[bool, list[float]] = {True: [], False: []}
    drafted = accepted = 0
    for turn in range(rounds + 1):
        for lookup in (True, False):
            session.reset()
            sampler = Scripted(script, clock)
            done = session.ask(text, max_tokens=len(script), sampler=sampler, lookup=lookup).statistics
            if turn:
                rates[lookup].append(sampler.rate())
            if lookup:
                drafted, accepted = done.drafted_tokens, done.accepted_tokens
    on, off = max(rates[True]), max(rates[False])
    print(
        f"{share:.0%} of {len(script)} tokens are no quotes: {on:.1f} tok/s with lookup, {off:.1f} without,"
        f" {on / off:.2f}x; {accepted} of {drafted} drafts right",
        flush=True,
    )


def opened(bundle: Bundle, engine: Engine) -> Decoder:
    table = EmbeddingMap(bundle.path(bundle.manifest.token_embedding.file), bundle.manifest.token_embedding)
    return Decoder(engine.text, table, bundle.manifest)


def some_tokens(bundle: Bundle, count: int, seed: int = 0) -> list[int]:
    """Of those that are whole characters and nothing special."""
    highest = min(bundle.manifest.geometry.text.vocab_size - 64, 50_000)
    return np.random.default_rng(seed).integers(300, highest, count).tolist()


def last(chunks: Iterator[Float32]) -> Float32:
    """The hidden states of the last chunk, after all were fed."""
    *_, chunk = chunks
    return chunk


if __name__ == "__main__":
    main()
