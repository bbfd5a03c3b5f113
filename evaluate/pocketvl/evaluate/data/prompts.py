"""What the model is told: the question, its options, and how short the answer should be."""

import string
from collections.abc import Sequence

from pocketvl.runtime.errors import UsageError

_SHORT = "{question}\nAnswer the question using a single word or phrase."  # LLaVA-1.5, arXiv:2310.03744

# `exact`, `ocrbench` and `iou` take the question as it is.
DEFAULT_PROMPTS = {
    "anls": _SHORT,
    "relaxed": _SHORT,
    "vqa": _SHORT,
    "yesno": _SHORT,
    "choice": "{question}\n{choices}\nAnswer with the option's letter from the given choices directly.",
    "exact": "{question}",
    "ocrbench": "{question}",
    "iou": "{question}",
}


def check_template(template: str) -> None:
    """Raises UsageError for a template without the question."""
    if "{question}" not in template:
        raise UsageError(f"The prompt {template!r} leaves the question out; write {{question}} in it.")


def render(template: str, question: str, choices: Sequence[str]) -> str:
    """The template with its two places filled; other braces stay as they are."""
    options = "\n".join(
        f"{letter}. {text}" for letter, text in zip(string.ascii_uppercase, choices, strict=False)
    )
    # The options go first: a question may hold the word {choices}.
    before, mark, after = template.partition("{question}")
    return before.replace("{choices}", options) + question * bool(mark) + after.replace("{choices}", options)
