"""What a caller says about one question, checked and made into a turn."""

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.chat.options import DEFAULT_MAX_TOKENS, AnswerOptions
from pocketvl.runtime.chat.turn import Turn
from pocketvl.runtime.decoding.choosing import Chooser
from pocketvl.runtime.decoding.constraint import Grammars
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.text.stop_strings import StopStrings
from pocketvl.runtime.text.tools.tool import ToolSet, tool_set


class TurnMaker:
    """For one session."""

    def __init__(self, manifest: Manifest, grammars: Grammars, never: NDArray[np.int64]) -> None:
        """never: ids that are not drawn."""
        self._manifest = manifest
        self._grammars = grammars
        self._never = never

    def turn(self, options: AnswerOptions) -> Turn:
        """Raises UsageError for options that cannot be meant, MissingExtraError."""
        max_tokens = options.get("max_tokens", DEFAULT_MAX_TOKENS)
        if max_tokens < 1:
            raise UsageError(f"max_tokens must be at least 1, not {max_tokens}.")
        sampler = options.get("sampler") or self._sampler()
        constraint = self._grammars.make(options.get("json_schema"), options.get("regex"))
        chooser = Chooser(sampler, self._never, constraint, options.get("logprobs", 0))
        stop = StopStrings(options.get("stop", ()))
        return Turn(chooser, max_tokens, stop, self._tools(options), options.get("lookup", False))

    def _sampler(self) -> Sampler:
        defaults = self._manifest.sampling
        return Sampler(defaults.temperature, defaults.top_k, defaults.top_p, defaults.repetition_penalty)

    def _tools(self, options: AnswerOptions) -> ToolSet | None:
        """Those that the caller names; None if it names none."""
        given = options.get("tools")
        if given is None:
            return None
        tools = tool_set(given, options.get("parallel_tool_calls", False))
        if tools and not self._manifest.chat:
            raise UsageError("This bundle's model has no chat template and calls no tools; leave them out.")
        return tools
