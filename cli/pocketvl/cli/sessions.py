"""The conversation that the options of `ask` and `chat` describe."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pocketvl.runtime.chat.sampler import make_sampler
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.sampling import Sampler


@contextmanager
def open_session(
    folder: Path,
    *,
    threads: int | None,
    system: str | None,
    min_pixels: int | None,
    max_pixels: int | None,
    add_vision_id: bool,
    stop_repetition: bool,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    repetition_penalty: float | None,
    seed: int | None,
) -> Iterator[tuple[ChatSession, Sampler]]:
    """A session over the bundle in `folder` and the sampler for its answers; freed at the end.

    None is the bundle's or the engine's own choice. Raises what load, Model.chat and Sampler raise.
    """
    from pocketvl.runtime.model import load

    with load(folder, threads=threads) as model:
        session = model.chat(
            system=system,
            min_pixels=min_pixels,
            max_pixels=max_pixels,
            add_vision_id=add_vision_id,
            stop_repetition=stop_repetition,
        )
        yield (
            session,
            make_sampler(model.manifest.sampling, temperature, top_k, top_p, repetition_penalty, seed=seed),
        )
