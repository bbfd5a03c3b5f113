"""Image embeddings kept by content, so that no image is encoded twice."""

import threading
from collections import OrderedDict

from pocketvl.runtime.decoding.feed import Media


class ImageCache:
    """Least recently used images go first once `max_bytes` of embeddings are held. For any thread."""

    def __init__(self, max_bytes: int = 256_000_000) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, Media] = OrderedDict()

    def get(self, key: str) -> Media | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            return entry

    def put(self, key: str, entry: Media) -> None:
        """The newest entry stays even where it alone is larger than max_bytes."""
        with self._lock:
            replaced = self._entries.pop(key, None)
            self._bytes += entry.embeddings.nbytes - (0 if replaced is None else replaced.embeddings.nbytes)
            self._entries[key] = entry
            while self._bytes > self._max_bytes and len(self._entries) > 1:
                _, oldest = self._entries.popitem(last=False)
                self._bytes -= oldest.embeddings.nbytes
