"""Answers that must be JSON of a schema, or match a regular expression: which tokens may come next.

llguidance follows the grammar; it is imported when a constraint is made.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.errors import EngineError, UsageError
from pocketvl.runtime.extras import import_failure

# JSON as Python's json.dumps writes it. Free white space would let an answer be blank lines without end.
_JSON_FORM = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_MOST_TOLD = 240  # characters


class Constraint(Protocol):
    """For one answer: told each of its tokens."""

    @property
    def is_finished(self) -> bool:
        """Whether the answer is whole and nothing but its end can follow."""

    def allowed(self) -> NDArray[np.bool_]:
        """(V,), the caller's own: ids that may come next. One that ends the answer may where it is whole."""

    def accept(self, token: int) -> None:
        """`token`, one of those allowed, has come. Raises EngineError for another one."""


class Grammars:
    """Makes constraints for one vocabulary."""

    def __init__(self, tokenizer_file: Path, rows: int, eos: Sequence[int]) -> None:
        """tokenizer_file: a tokenizer.json. rows: of the logits. eos: ids that end an answer."""
        self._vocabulary = (tokenizer_file, rows, tuple(eos))

    def make(self, json_schema: Mapping[str, Any] | bool | None, regex: str | None) -> Constraint | None:
        """None where both are. Raises UsageError for both at once and for what no answer can follow,
        MissingExtraError."""
        if json_schema is None and regex is None:
            return None
        if json_schema is not None and regex is not None:
            raise UsageError(
                "An answer can follow a JSON schema or a regular expression, not both; leave out one."
            )
        if regex == "":
            raise UsageError(
                "An empty regular expression lets nothing be said; give one that matches the answer."
            )
        what = "JSON schema" if regex is None else "regular expression"
        matcher = _import_llguidance().LLMatcher
        try:
            if regex is None:
                grammar = matcher.grammar_from_json_schema(json.dumps(json_schema), defaults=_JSON_FORM)
            else:
                grammar = matcher.grammar_from_regex(regex)
        except (TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"The {what} cannot be used ({error}); correct it.") from None
        return GuidedConstraint(grammar, what, *self._vocabulary)


class GuidedConstraint:
    """A Constraint that llguidance follows."""

    def __init__(
        self, grammar: str, what: str, tokenizer_file: Path, rows: int, eos: tuple[int, ...]
    ) -> None:
        """Raises UsageError for a grammar that does not hold; `what` names it in the sentence."""
        self._rows = rows
        tokens = _vocabulary(tokenizer_file, rows, eos)
        self._matcher = _import_llguidance().LLMatcher(tokens, grammar, log_level=0)
        self._mask = self._compute()
        if self._matcher.is_error() or not self._mask.any():
            raise UsageError(f"The {what} cannot be used ({_first_line(self._matcher)}); correct it.")

    @property
    def is_finished(self) -> bool:
        """See Constraint."""
        return bool(self._matcher.is_stopped())

    def allowed(self) -> NDArray[np.bool_]:
        """See Constraint. Raises EngineError where the grammar has become too complex to follow."""
        return self._mask.copy()

    def accept(self, token: int) -> None:
        """See Constraint."""
        self._matcher.consume_token(token)
        if self._matcher.is_error():
            raise EngineError(
                f"The answer cannot follow its grammar any further ({_first_line(self._matcher)}); make the"
                " JSON schema or regular expression simpler."
            )
        self._mask = self._compute()

    def _compute(self) -> NDArray[np.bool_]:
        if self._matcher.is_error():
            return np.zeros(self._rows, np.bool_)
        packed = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        return np.unpackbits(packed, count=self._rows, bitorder="little").astype(np.bool_)


@lru_cache(maxsize=1)  # of the 2B model it takes a second and 0.2 GB
def _vocabulary(tokenizer_file: Path, rows: int, eos: tuple[int, ...]) -> Any:
    """llguidance's own view of a tokenizer."""
    text = tokenizer_file.read_text(encoding="utf-8")
    return _import_llguidance().LLTokenizer(text, n_vocab=rows, eos_token=list(eos))


def _first_line(matcher: Any) -> str:
    """What llguidance says, without the state that it prints below it."""
    lines = [line.strip() for line in matcher.get_error().partition("<state>")[0].splitlines()]
    told = " ".join(line for line in lines if line) or "no token may come first"
    return told if len(told) <= _MOST_TOLD else f"{told[:_MOST_TOLD]}.."  # it may repeat the whole grammar


def _import_llguidance() -> Any:
    try:
        import llguidance
    except (ImportError, OSError, MemoryError) as error:
        raise import_failure(error, "An answer's JSON schema or regex needs llguidance", "grammar") from None
    return llguidance
