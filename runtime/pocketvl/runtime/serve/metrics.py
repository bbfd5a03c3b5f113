"""Counters in the Prometheus text format 0.0.4."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import psutil

from pocketvl.runtime.chat.answer import Answer
from pocketvl.runtime.serve.response import cached_tokens

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Kept in the event loop."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._requests: Counter[int] = Counter()  # by status
        self._stopped: Counter[str] = Counter()  # answers by stop reason
        self._tokens: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._images: Counter[str] = Counter()

    def request(self, status: int) -> None:
        """A request that was responded to."""
        self._requests[status] += 1

    def answer(self, answer: Answer, waited: float) -> None:
        """waited: seconds in the queue."""
        statistics = answer.statistics
        self._stopped[answer.stop_reason] += 1
        self._tokens["prompt"] += len(answer.prompt_token_ids)
        self._tokens["reused"] += cached_tokens(answer)
        self._tokens["generated"] += len(answer.token_ids)
        self._seconds["queue"] += waited
        self._seconds["vision"] += statistics.vision_seconds
        self._seconds["prefill"] += statistics.prefill_seconds
        self._seconds["decode"] += statistics.decode_seconds
        self._seconds["first_token"] += statistics.time_to_first_token
        self._images["encoded"] += statistics.images_encoded
        self._images["cached"] += statistics.images_cached

    def text(self, waiting: int, running: int) -> str:
        """All of it. waiting, running: requests in the queue and being answered."""
        counters: tuple[tuple[str, str, str, Mapping[Any, float]], ...] = (
            ("requests_total", "Responses by HTTP status.", "status", self._requests),
            ("answers_total", "Answers by what ended them.", "reason", self._stopped),
            ("tokens_total", "Tokens of prompts, those of them reused, and generated.", "kind", self._tokens),
            (
                "seconds_total",
                "By stage; first_token: until the first token.",
                "stage",
                self._seconds,
            ),
            ("images_total", "Images encoded, and taken from the cache.", "kind", self._images),
        )
        lines = []
        for name, said, label, values in counters:
            lines += [f"# HELP pocketvl_{name} {said}", f"# TYPE pocketvl_{name} counter"]
            lines += [f'pocketvl_{name}{{{label}="{key}"}} {value}' for key, value in values.items()]
        memory = self._process.memory_info().rss
        gauges = (
            ("pocketvl_queue_waiting", "Requests that wait.", waiting),
            ("pocketvl_queue_running", "Requests that are answered at this moment.", running),
            ("process_resident_memory_bytes", "Resident memory.", memory),
        )
        for name, said, value in gauges:
            lines += [f"# HELP {name} {said}", f"# TYPE {name} gauge", f"{name} {value}"]
        return "\n".join(lines) + "\n"
