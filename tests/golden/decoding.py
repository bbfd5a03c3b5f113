"""Goldens of how tokens are chosen, drafted and cut: by plain loops over small lists."""

import math
import random
from typing import Any

from tests.golden.written import Json, digits


def sampler() -> Json:
    """Candidates and their probabilities: what a host language can mirror, whatever its random numbers."""
    shuffled = random.Random(0)
    settings: list[dict[str, Any]] = [
        {},
        {"temperature": 1.0},
        {"temperature": 0.5, "top_k": 3},
        {"temperature": 2.0, "top_p": 0.7},
        {"temperature": 0.7, "top_k": 5, "top_p": 0.8, "repetition_penalty": 1.3},
        {"repetition_penalty": 1.5},
        {"temperature": 0.01, "top_k": 1, "top_p": 0.001, "repetition_penalty": 1.05},
    ]
    cases = []
    for number in range(3):
        logits = [round(shuffled.uniform(-4, 6), 3) for _ in range(12)]
        if number == 2:
            logits[3] = logits[8] = 6.5  # of equals, greedy takes the lowest id
        for chosen in settings if number < 2 else settings[:1]:
            options = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0} | chosen
            seen, never = [0, 5, 5, 99], [1, 11]
            ids, probabilities = _candidates(logits, seen, never, **options)
            case = {"logits": logits, **options, "seen": seen, "never": never}
            cases.append(case | {"ids": ids, "probabilities": probabilities})
    logprobs = []
    for values, token, count in (([0, 0, 0, 0], 2, 2), ([1, -2, 3.5, 3.5, 9], 0, 3), ([-700, 700], 0, 2)):
        total = max(values) + math.log(sum(math.exp(value - max(values)) for value in values))
        order = sorted(range(len(values)), key=lambda i: (-values[i], i))[:count]
        top = [[index, digits(values[index] - total)] for index in order]
        logprobs.append({"logits": values, "token": token, "count": count})
        logprobs[-1] |= {"logprob": digits(values[token] - total), "top": top}
    return {
        "about": "Repetition penalty, temperature, top_k, top_p in that order; ids ascending."
        " logprobs: of the logits as they are, the likeliest first, of equals the lowest id.",
        "cases": cases,
        "logprobs": logprobs,
    }


def _candidates(
    logits: list[float],
    seen: list[int],
    never: list[int],
    *,
    temperature: float,
    top_k: int,
    top_p: float,
    repetition_penalty: float,
) -> tuple[list[int], list[float]]:
    scores = {index: score for index, score in enumerate(logits) if index not in never}
    for index in scores.keys() & set(seen):
        score = scores[index]
        scores[index] = score * repetition_penalty if score < 0 else score / repetition_penalty
    order = sorted(scores, key=lambda index: (-scores[index], index))
    if temperature == 0:
        return order[:1], [1.0]
    order = order[: top_k or len(order)]
    weights = [math.exp((scores[index] - scores[order[0]]) / temperature) for index in order]
    before, kept = 0.0, []
    for index, weight in zip(order, weights, strict=True):
        if before < top_p:
            kept.append((index, weight))
        before += weight / sum(weights)
    total = sum(weight for _, weight in kept)
    kept.sort()
    return [index for index, _ in kept], [digits(weight / total) for _, weight in kept]


def lookup() -> Json:
    """What is drafted after these tokens, how many drafts pay, and how guesses add up."""
    tokens = random.Random(1)
    texts: list[tuple[list[int], list[int]]] = [
        ([], []),
        ([7], []),
        ([1, 2, 3, 1], []),
        ([1, 2, 3, 4, 1, 2], []),
        ([1, 2, 3, 9, 1, 2, 4, 9, 1, 2], []),
        ([1, 2, 3, 4, 5, 1, 9, 3, 4, 6, 1, 2, 3, 4], []),  # four before two, though that is later
        ([5, 5, 5], []),  # goes on with itself
        ([1, 2, 1, 2], []),
        ([1, 2, 3, 99, 99, 4, 1, 2], [99]),
        ([1, 2, 99, 3, 1, 2], [99]),
        ([*range(20, 40), 3, *range(20, 32)], []),
        ([tokens.randrange(3) for _ in range(50)], [2]),
    ]
    drafts = []
    for text, never in texts:
        ngram, follows = _longest_match(text)
        drafted = list(text)
        for step in range(15 if ngram else 0):
            if drafted[follows + step] in never:
                break
            drafted.append(drafted[follows + step])
        case = {"tokens": text, "never": never, "ngram": ngram, "follows": follows}
        drafts.append(case | {"drafts": drafted[len(text) :]})
    lengths = []
    for costs in ([1, 1, 1, 1], [2, 4, 8, 16], [1.2, 1.6, 2.4, 4], [2.25, 2.3, 2.9, 4.3]):
        for acceptance in (0, 0.25, 0.5, 0.8, 0.94, 1):
            for limit in (0, 2, 15):
                gains = {0: 1.05}
                for length, cost in zip((1, 3, 7, 15), costs, strict=True):
                    if length <= limit:
                        gains[length] = sum(acceptance**power for power in range(length + 1)) / cost
                best = max(gains, key=lambda length: (gains[length], -length))
                lengths.append({"acceptance": acceptance, "costs": costs, "limit": limit, "length": best})
    return {
        "about": "drafts: the latest place where the last 8, 4 or 2 tokens were before, and up to 15 tokens"
        " that followed, never one of `never`; ngram 0: none. lengths: costs are of passes over 2, 4, 8 and"
        " 16 rows, relative to one row.",
        "drafts": drafts,
        "lengths": lengths,
    }


def _longest_match(tokens: list[int]) -> tuple[int, int]:
    for ngram in (8, 4, 2):
        for follows in range(len(tokens) - 1, ngram - 1, -1):
            if tokens[follows - ngram : follows] == tokens[-ngram:]:
                return ngram, follows
    return 0, 0


def stop_strings() -> Json:
    """By hand: the pieces of a text, what is shown after each of them, and in the end."""
    cases: list[tuple[list[str], list[str], list[str], str | None]] = [
        ([], ["a", "b"], ["a", "b", ""], None),
        (["\n"], ["one\ntwo"], ["one", ""], "\n"),
        (["END"], ["a", "E", "N", "D", "b"], ["a", "", "", "", "", ""], "END"),
        (["END"], ["aE", "Nb"], ["a", "ENb", ""], None),  # held back only while it may become one
        (["END"], ["aEN"], ["a", "EN"], None),
        (["aab"], ["aa", "a", "b"], ["", "a", "", ""], "aab"),
        (["x"], ["ax", "x"], ["a", "", ""], "x"),
        (["bc", "abcd"], ["abcd"], ["a", ""], "bc"),  # which ends first
        (["bc", "abcd"], ["a", "b", "c", "d"], ["", "", "a", "", ""], "bc"),
        (["c", "abc"], ["abc"], ["", ""], "abc"),  # of those that end together, the longest
        (["日本"], ["a日", "本b"], ["a", "", ""], "日本"),
    ]
    return {
        "about": "What may be shown after each piece, and last what is left when no more comes.",
        "cases": [
            {"stop": stop, "pieces": pieces, "shown": shown, "found": found}
            for stop, pieces, shown, found in cases
        ],
    }
