"""Parity, accuracy, size and speed of a bundle.

    verification = verify_bundle("bundle", against="Qwen/Qwen2-VL-2B-Instruct")
    evaluation = evaluate_bundle("bundle", "pope.tsv", limit=100)
    bench = bench_bundle("bundle", threads=4)

Names are imported when first used: torch and transformers take seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketvl.evaluate.bench import Bench, bench_bundle
    from pocketvl.evaluate.evaluation import DatasetReport, Evaluation, evaluate_bundle
    from pocketvl.evaluate.verification import Verification, verify_bundle
    from pocketvl.evaluate.verify import Check, TaskScore

__all__ = [
    "Bench",
    "Check",
    "DatasetReport",
    "Evaluation",
    "TaskScore",
    "Verification",
    "bench_bundle",
    "evaluate_bundle",
    "verify_bundle",
]

_MODULES = {
    "Bench": "bench",
    "Check": "verify",
    "DatasetReport": "evaluation",
    "Evaluation": "evaluation",
    "TaskScore": "verify",
    "Verification": "verification",
    "bench_bundle": "bench",
    "evaluate_bundle": "evaluation",
    "verify_bundle": "verification",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
