"""Where the memory of one 448x448 question goes, stage by stage, on Linux.

    python benchmarks/memory_stages.py BUNDLE [--threads 2] [--tokens 16]

Prints a table in MB: what is resident after each stage (memory of the process's own, and pages of files,
which the system can drop and read again), and the peak so far.
"""

import argparse
from pathlib import Path

HEAD = "| after | resident | own | files | peak so far |\n|---|---|---|---|---|"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=16, help="most tokens of the answer")
    options = parser.parse_args()
    print(HEAD)
    show("Python")
    import numpy as np

    show("numpy")
    from pocketvl.evaluate.samples import sample_image
    from pocketvl.runtime.bundle.open import open_bundle
    from pocketvl.runtime.chat.session import ChatSession
    from pocketvl.runtime.decoding.sampling import Sampler
    from pocketvl.runtime.engines.open import open_engine
    from pocketvl.runtime.positions import text_rope

    show("pocketvl")
    bundle = open_bundle(options.bundle)
    engine = open_engine(bundle, options.threads)
    show("the runtime's own imports")
    session = ChatSession(bundle, engine)
    show("tokenizer")
    encoded = session.encode_image(sample_image(448, 448))  # which releases the encoder
    show("vision encoder, released again")
    text = bundle.manifest.geometry.text
    nothing = np.zeros((1, text.hidden_size), np.float32)
    engine.text.logits(nothing)
    show("head loaded")
    engine.text.decode(nothing, *text_rope(np.zeros((3, 1), np.int64), text), 0)
    show("decoder loaded")
    question = [{"type": "image", "image": encoded}, {"type": "text", "text": "What is this?"}]
    answer = session.ask(question, max_tokens=options.tokens, sampler=Sampler())
    show(f"answer of {len(answer.token_ids)} tokens")
    print(f"\ntokens {answer.token_ids}")


def show(stage: str) -> None:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    kilobytes = [int(fields[name].split()[0]) for name in ("VmRSS", "RssAnon", "RssFile", "VmHWM")]
    print(f"| {stage} | " + " | ".join(f"{size * 1.024 / 1000:.0f}" for size in kilobytes) + " |", flush=True)


if __name__ == "__main__":
    main()
