"""`python -m pocketvl.evaluate.one_question BUNDLE IMAGE THREADS TOKENS`: what one question costs a process.

Prints JSON: time_to_first_token in seconds and peak_rss in bytes, of this process with all that it loads.
"""

import json
import resource
import sys
from pathlib import Path

from pocketvl.runtime.bundle.open import open_bundle
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.errors import PocketVLError


def _main(folder: str, image: str, threads: str, tokens: str) -> None:
    bundle = open_bundle(Path(folder))
    session = ChatSession(bundle, open_engine(bundle, int(threads)))
    question: list[dict[str, object]] = [
        {"type": "image", "image": Path(image)},
        {"type": "text", "text": "What is this?"},
    ]
    answer = session.ask(question, max_tokens=int(tokens), sampler=Sampler())
    session.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    measured = {
        "time_to_first_token": answer.statistics.time_to_first_token,
        "peak_rss": peak if sys.platform == "darwin" else peak * 1024,  # bytes there, kilobytes on Linux
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    try:
        _main(*sys.argv[1:])
    except PocketVLError as failure:
        sys.exit(str(failure))
