"""Text up to the first of some strings that end an answer."""

from collections.abc import Sequence

from pocketvl.runtime.errors import UsageError

MAX_STOP_STRINGS = 4


class StopStrings:
    """Passes text on piece by piece, as far as no stop string has been found in it.

    The first one is that which ends first; of those that end together, the longest. So what is found does
    not depend on how the text is cut into pieces. Only what may still become a stop string is held back.
    """

    def __init__(self, strings: Sequence[str] = ()) -> None:
        """Raises UsageError for more than MAX_STOP_STRINGS of them, or an empty one."""
        if isinstance(strings, str) or not all(isinstance(string, str) for string in strings):
            raise UsageError(f"stop must be a list of texts, not {strings!r}.")
        if len(strings) > MAX_STOP_STRINGS:
            raise UsageError(f"stop takes at most {MAX_STOP_STRINGS} texts, not {len(strings)}.")
        if "" in strings:
            raise UsageError("A stop string must not be empty: every answer would end before it begins.")
        self._strings = tuple(strings)
        self._held = ""
        self._found: str | None = None

    @property
    def found(self) -> str | None:
        """The stop string that ended the text, None so far."""
        return self._found

    def push(self, piece: str) -> str:
        """What may be shown now that `piece` has come, maybe nothing."""
        if self._found is not None:
            return ""
        text = self._held + piece
        matches = [(text.find(string), string) for string in self._strings if string in text]
        if matches:
            start, self._found = min(matches, key=lambda match: (match[0] + len(match[1]), match[0]))
            self._held = ""
            return text[:start]
        shown = len(text) - self._unfinished(text)
        self._held = text[shown:]
        return text[:shown]

    def finish(self) -> str:
        """What was held back, now that nothing follows."""
        held, self._held = self._held, ""
        return held

    def _unfinished(self, text: str) -> int:
        """How many of the last characters begin a stop string."""
        longest = max(map(len, self._strings), default=1) - 1
        for count in range(min(longest, len(text)), 0, -1):
            if any(string.startswith(text[-count:]) for string in self._strings):
                return count
        return 0
