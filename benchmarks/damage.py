"""What becomes of damaged bundles: crashes, answers or sentences.

    python benchmarks/damage.py [--damages 2000] [--through-cli 50] [--seed 0] [--verify stamp]

Exports the tiny model for every target by rounding, then damages one file of one bundle at a time, be it the
manifest or its hash, without a change of its size: a bit, a run of bytes, a zeroed block or two swapped
blocks. Each damaged bundle is opened and asked about an image in a process of its own, with an empty cache
folder; the first few (--through-cli) by `pocketvl ask`, the others by the same calls in a process forked from
one that has the libraries. Prints how many ended how. Exit status 1 unless each ended in a sentence that
names the file. --verify never shows what the native runtimes make of damage that nobody looks for.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from PIL import Image

from pocketvl.runtime import names
from pocketvl.runtime.bundle.manifest import read_manifest
from pocketvl.runtime.bundle.verification import Verify
from pocketvl.runtime.errors import PocketVLError

KINDS = ("bit", "bytes", "zeros", "swap")
LONGEST = 4096  # bytes of a run or block
QUESTION = "How many circles are there?"
MOST_TOKENS = 16
PATIENCE = 300.0  # seconds until a process counts as hanging
SENTENCE = "sentence that names the file"
# Where a bit of the tiny model's int4 vision encoder once ended the process.
FIRST = (names.EXECUTORCH, names.VISION_ENCODER_PTE, 15271)
PRELOADED = [
    "pocketvl.runtime.chat.session",
    "pocketvl.runtime.engines.open",
    "pocketvl.runtime.bundle.signature",
    "numpy",
    "torch",
    "onnxruntime",
    "executorch.extension.pybindings._portable_lib",
]


@dataclass(frozen=True)
class Damage:
    """New bytes at places of a file."""

    path: Path
    kind: str
    pieces: tuple[tuple[int, bytes], ...]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--damages", type=int, default=2000)
    parser.add_argument("--through-cli", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verify", choices=("stamp", "always", "never"), default="stamp")
    parser.add_argument("--work", type=Path, default=Path("work/damage"))
    parser.add_argument("--bundle", type=Path, action="append", help="instead of those of the tiny model")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        bundles = [
            Path(shutil.copytree(bundle, Path(scratch) / str(index)))
            for index, bundle in enumerate(options.bundle or export(options.work))
        ]
        image = Path(scratch) / "image.png"
        Image.radial_gradient("L").resize((112, 84)).convert("RGB").save(image)
        outcomes = run(bundles, image, options)
    print_table(outcomes)
    if {outcome for _, _, outcome in outcomes} != {SENTENCE}:
        raise SystemExit(1)


def export(folder: Path) -> list[Path]:
    """The bundles of all targets, unless they are there."""
    if not folder.exists():
        words = ["export", "tiny", "-o", str(folder), "--recipe", "int4", "--method", "rtn"]
        words += [word for target in names.TARGETS for word in ("--target", target)]
        subprocess.run([sys.executable, "-m", "pocketvl.cli", *words], check=True)
    return [folder / target for target in names.TARGETS]


def run(bundles: list[Path], image: Path, options: argparse.Namespace) -> list[tuple[str, str, str]]:
    """(target, kind of damage, outcome) of each."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    sound = {bundle: ask_here(context, bundle, image, options.verify) for bundle in bundles}
    for bundle, outcome in sound.items():
        if not outcome.startswith("answer "):
            raise SystemExit(f"{bundle} itself ends in: {outcome}")
    outcomes = []
    for index, damage in enumerate(draw(bundles, options.damages, random.Random(options.seed))):
        bundle = next(bundle for bundle in bundles if damage.path.is_relative_to(bundle))
        with applied(damage):
            if index < options.through_cli:
                outcome = ask_by_command(bundle, image)
            else:
                outcome = ask_here(context, bundle, image, options.verify)
        outcome = described(outcome, damage, sound[bundle])
        outcomes.append((read_manifest(bundle / names.MANIFEST_FILE).target, damage.kind, outcome))
        if (index + 1) % 100 == 0:
            print(f"{index + 1} of {options.damages}", file=sys.stderr)
    return outcomes


def draw(bundles: list[Path], count: int, source: random.Random) -> Iterator[Damage]:
    """The same for the same seed; the first is FIRST where there is such a file."""
    manifests = {bundle: read_manifest(bundle / names.MANIFEST_FILE) for bundle in bundles}
    files = [bundle / file for bundle in bundles for file in (names.MANIFEST_FILE, names.MANIFEST_HASH_FILE)]
    files += [bundle / record.path for bundle in bundles for record in manifests[bundle].files]
    target, file, place = FIRST
    known = [bundle / file for bundle in bundles if manifests[bundle].target == target]
    for index in range(count):
        if index == 0 and known:
            yield Damage(known[0], "bit", ((place, bytes([known[0].read_bytes()[place] ^ 1])),))
        else:
            yield drawn(source.choice(files), source.choice(KINDS), source)


def drawn(path: Path, kind: str, source: random.Random) -> Damage:
    """Drawn again until it changes a byte."""
    content = path.read_bytes()
    while True:
        length = min(int(2 ** source.uniform(0, 12.01)), LONGEST, len(content) // 2)
        start = source.randrange(len(content) - length + 1)
        old = content[start : start + length]
        match kind:
            case "bit":
                pieces = ((start, bytes([content[start] ^ 1 << source.randrange(8)])),)
            case "bytes":
                pieces = ((start, source.randbytes(length)),)
            case "zeros":
                pieces = ((start, bytes(length)),)
            case _:
                other = source.randrange(len(content) - length + 1)
                if abs(other - start) < length:
                    continue
                pieces = ((start, content[other : other + length]), (other, old))
        if any(content[place : place + len(new)] != new for place, new in pieces):
            return Damage(path, kind, pieces)


@contextmanager
def applied(damage: Damage) -> Iterator[None]:
    """The file is damaged inside of the block, in place."""
    with damage.path.open("r+b") as file:
        old = [(place, os.pread(file.fileno(), len(new), place)) for place, new in damage.pieces]
    write(damage.path, damage.pieces)
    try:
        yield
    finally:
        write(damage.path, old)


def write(path: Path, pieces: tuple[tuple[int, bytes], ...] | list[tuple[int, bytes]]) -> None:
    with path.open("r+b") as file:
        for place, new in pieces:
            os.pwrite(file.fileno(), new, place)


def ask_here(context, bundle: Path, image: Path, verify: Verify) -> str:  # type: ignore[no-untyped-def]
    """How a forked process ends: "answer ...", "sentence ...", "internal error ..." or how it died."""
    receiver, sender = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as cache:
        process = context.Process(target=child, args=(sender, bundle, image, verify, cache))
        process.start()
        sender.close()
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()
            return "hang"
    if process.exitcode != 0:
        return died(process.exitcode)
    return str(receiver.recv())


def child(sender: Connection, bundle: Path, image: Path, verify: Verify, cache: str) -> None:
    os.environ["XDG_CACHE_HOME"] = cache
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        from pocketvl.runtime.bundle.open import open_bundle
        from pocketvl.runtime.chat.session import ChatSession
        from pocketvl.runtime.engines.open import open_engine

        opened = open_bundle(bundle, verify)
        session = ChatSession(opened, open_engine(opened, 1))
        content = [{"type": "image", "image": image}, {"type": "text", "text": QUESTION}]
        answer = session.ask(content, max_tokens=MOST_TOKENS)
        sender.send(f"answer {list(answer.token_ids)} {answer.text}")
    except PocketVLError as error:
        sender.send(f"sentence {error}")
    except Exception as error:
        sender.send(f"internal error {type(error).__name__}: {error}")
    sender.close()
    os._exit(0)  # whatever a native library would do at the end


def ask_by_command(bundle: Path, image: Path) -> str:
    """By `pocketvl ask`, as ask_here."""
    words = ["ask", str(bundle), QUESTION, "--image", str(image), "--max-tokens", str(MOST_TOKENS)]
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [sys.executable, "-m", "pocketvl.cli", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env={**os.environ, "XDG_CACHE_HOME": cache},
        )
    said = " ".join(done.stderr.split())
    if done.returncode == 0:
        return f"answer {done.stdout}"
    if done.returncode == 1 and said.startswith("error: ") and "unexpected" not in said:
        return f"sentence {said}"
    return f"internal error {said}" if done.returncode == 1 else died(done.returncode)


def died(status: int | None) -> str:
    return f"crash, {signal.Signals(-status).name}" if status and status < 0 else f"crash, status {status}"


def described(outcome: str, damage: Damage, sound: str) -> str:
    """What is counted."""
    if outcome.startswith("answer "):
        return "same answer" if outcome == sound else "another answer"
    if outcome.startswith("sentence "):
        return SENTENCE if str(damage.path) in outcome else "other sentence"
    return outcome.split(":", maxsplit=1)[0]


def print_table(outcomes: list[tuple[str, str, str]]) -> None:
    print(f"\n{len(outcomes)} damages")
    for title, column in (("target", 0), ("damage", 1)):
        counts = Counter((row[column], row[2]) for row in outcomes)
        print(f"\n{title:12} outcome")
        for (name, outcome), count in sorted(counts.items()):
            print(f"{name:12} {outcome}: {count}")


if __name__ == "__main__":
    main()
