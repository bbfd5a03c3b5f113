"""The front door: a bundle's folder in, conversations out."""

from pathlib import Path
from types import TracebackType

from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.bundle.open import open_bundle
from pocketvl.runtime.bundle.verification import Verify
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.engines.open import open_engine


class Model:
    """A bundle with its engine. Its files are loaded when first needed, and freed by close()."""

    def __init__(self, folder: str | Path, *, threads: int | None = None, verify: Verify = "stamp") -> None:
        """See load."""
        self._bundle = open_bundle(Path(folder), verify=verify)
        self._engine = open_engine(self._bundle, threads)

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself: geometry, buckets, context, sizes, provenance."""
        return self._bundle.manifest

    def chat(
        self,
        *,
        system: str | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        keep_vision: bool = False,
        add_vision_id: bool = False,
        stop_repetition: bool = True,
    ) -> ChatSession:
        """A conversation; see ChatSession. Several share the engine, one answering at a time.

        Raises BundleError, PromptError, UsageError.
        """
        return ChatSession(
            self._bundle,
            self._engine,
            system=system,
            min_pixels=min_pixels,
            max_pixels=max_pixels,
            keep_vision=keep_vision,
            add_vision_id=add_vision_id,
            stop_repetition=stop_repetition,
        )

    def load_chat(self, path: str | Path, *, keep_vision: bool = False) -> ChatSession:
        """The conversation that ChatSession.save wrote, see ChatSession.restore.

        Raises ConversationError, BundleError, PromptError, UsageError.
        """
        return ChatSession.restore(path, self._bundle, self._engine, keep_vision=keep_vision)

    def close(self) -> None:
        """Free the memory. Raises UsageError while a conversation of this model is answering."""
        with self._engine.text.cache.claim():
            self._engine.close()

    def __enter__(self) -> "Model":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load(folder: str | Path, *, threads: int | None = None, verify: Verify = "stamp") -> Model:
    """Open the bundle that `pocketvl export` wrote into `folder`, for any target.

    threads: of ExecuTorch's or onnxruntime's pool; None is the engine's own choice. ExecuTorch has one pool
    in a process: while a model of it is loaded, None takes that pool as it is, and another number is a
    UsageError, here or when this model loads its files; close the other model or give the same number.
    verify: see open_bundle. Nothing is downloaded. Raises BundleError, EngineError, UsageError,
    MissingExtraError.
    """
    return Model(folder, threads=threads, verify=verify)
