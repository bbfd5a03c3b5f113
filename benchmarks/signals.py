"""Signals at random moments of exports, a sweep and an evaluation: does each end at once and leave nothing?

    python benchmarks/signals.py WORK_FOLDER --count 120 --seed 0

Each case is a command on the tiny model that is run again and again in its own folder, so that every run is
the next run after a signal, too. At the end each case runs once to its end. A run is clean if

- it left within 5 seconds, with 128 + the signal's number, and said so in its last line, after its steps;
- no process that it started is left, and no temporary file;
- the output's name is free or holds a complete bundle, and beside it is at most a calibration to go on with.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from pocketvl.runtime.bundle.open import open_bundle

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WITHIN = 5.0
TOKEN = "POCKETVL_SIGNALS_RUN"  # environment variable by which a run's processes are found
SMALL = ("--buckets", "256", "--max-context", "512")
CALIBRATED = ("--method", "gptq", "--calibration-samples", "16")


@dataclass
class Case:
    name: str
    folder: Path
    words: tuple[str, ...]
    left: Callable[[Path], list[str]]  # what is wrong in the folder after a run
    seconds: float = 40.0  # of a whole run; corrected when one has finished


def export_left(folder: Path) -> list[str]:
    """The bundle is whole or absent, and beside it is only .bundle.calibration."""
    wrong = [path.name for path in folder.iterdir() if path.name not in ("bundle", ".bundle.calibration")]
    return wrong + broken_bundle(folder / "bundle")


def sweep_left(folder: Path) -> list[str]:
    """Bundles in the cache are whole; a calibration, a shard's answers and whole results may be there."""
    wrong = []
    for path in (folder / "out" / "cache" / "bundles").glob("*"):
        if not path.name.startswith("."):
            wrong += broken_bundle(path)
        elif not path.name.endswith(".calibration"):
            wrong.append(path.name)
    return wrong


def evaluate_left(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name != "results"]


def broken_bundle(path: Path) -> list[str]:
    try:
        if path.exists():
            open_bundle(path, verify="always")
    except Exception as error:
        return [f"{path.name}: {error}"]
    return []


def make_cases(work: Path, bundle: Path) -> list[Case]:
    cases = []
    for target in ("executorch", "onnx", "coreml"):
        for method in (("--method", "rtn"), CALIBRATED):
            name = f"export {target} {method[1]}"
            folder = work / name.replace(" ", "-")
            options = ("--target", target, *method, *SMALL, "--overwrite")
            cases.append(
                Case(name, folder, ("export", "tiny", "-o", str(folder / "bundle"), *options), export_left)
            )
    folder = work / "sweep"
    words = ("sweep", "tiny", "-o", str(folder / "out"), "--recipe", "int8", "--target", "onnx", *SMALL)
    options = ("--data", "generated:2", "--fidelity-questions", "4", "--jobs", "2")
    cases.append(Case("sweep", folder, (*words, *options), sweep_left))
    folder = work / "evaluate"
    words = ("evaluate", str(bundle), "--data", "generated:60", "-o", str(folder / "results"), "--overwrite")
    cases.append(Case("evaluate", folder, words, evaluate_left))
    return cases


def take_back() -> None:
    """What nohup or a background job of a shell ignores would stay ignored."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def start(words: tuple[str, ...], token: str, scratch: Path) -> "subprocess.Popen[str]":
    """As a terminal starts it: with the default reaction to the three signals, whatever started this."""
    return subprocess.Popen(
        [sys.executable, "-m", "pocketvl.cli", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {TOKEN: token, "TMPDIR": str(scratch), "OMP_NUM_THREADS": "1"},
        preexec_fn=take_back,  # noqa: PLW1509  no threads here
    )


def left_running(token: str) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(TOKEN) == token and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline())[:80])
        except psutil.Error:
            continue
    return found


def is_heeded(process: "subprocess.Popen[str]") -> bool:
    """Whether our first line has run. Before it the system ends the process by itself, in silence."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    caught = next(line for line in lines if line.startswith("SigCgt")).split()[1]
    return bool(int(caught, 16) & 1 << (signal.SIGCHLD - 1))  # set as soon as the others are blocked


def interrupt(case: Case, number: signal.Signals, moment: float, token: str, scratch: Path) -> str:
    """One run with one signal: clean, finished before, or what was wrong."""
    process = start(case.words, token, scratch)
    began = time.monotonic()
    with suppress(subprocess.TimeoutExpired):
        process.wait(moment)
    finished = process.poll() is not None
    if not finished:
        while not is_heeded(process):
            time.sleep(0.005)
        sent = time.monotonic()
        process.send_signal(number)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
        took = time.monotonic() - sent
    else:
        case.seconds = time.monotonic() - began
        if case.name == "sweep":  # it would find everything done
            shutil.rmtree(case.folder / "out")
    said = (process.stderr.read() if process.stderr else "").strip()
    wrong = [f"still there: {name}" for name in case.left(case.folder)]
    wrong += [f"still running: {words}" for words in left_running(token)]
    wrong += [f"temporary file: {path.name}" for path in scratch.iterdir()]
    if finished:
        wrong += [f"status {process.returncode}: {said}"] if process.returncode else []
        return "; ".join(wrong) or "finished before"
    if process.returncode == 0:
        return "; ".join(wrong) or "finished before"
    wrong += [f"status {process.returncode}"] if process.returncode != 128 + number else []
    wrong += [f"took {took:.1f} s"] if took > WITHIN else []
    *steps, last = said.split("\n")  # off a terminal each step of the work is a line
    if not last.startswith("Stopped by") or not all(step.startswith(("[", "note:")) for step in steps):
        wrong.append(f"said: {said[-300:]}")
    return "; ".join(wrong) or "clean"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    scratch = arguments.work / "temporary"
    scratch.mkdir(parents=True, exist_ok=True)
    bundle = arguments.work / "evaluated"
    words = ("export", "tiny", "-o", str(bundle), "--method", "rtn", "--target", "onnx", "--overwrite")
    if start(words, "prepare", scratch).wait():
        sys.exit("The bundle to evaluate could not be exported.")
    cases = [c for c in make_cases(arguments.work, bundle) if arguments.only in c.name]
    for case in cases:
        case.folder.mkdir(exist_ok=True)
    outcomes: Counter[str] = Counter()
    for index in range(arguments.count):
        case = cases[index % len(cases)]
        number, moment = draw.choice(SIGNALS), draw.uniform(0, case.seconds)
        outcome = interrupt(case, number, moment, f"{os.getpid()}-{index}", scratch)
        outcomes[outcome if outcome in ("clean", "finished before") else "unclean"] += 1
        print(f"{index + 1:4} {case.name:24} {number.name:8} {moment:6.2f} s  {outcome}", flush=True)
    for case in cases:
        outcome = interrupt(case, signal.SIGTERM, 3600.0, f"{os.getpid()}-{case.name}", scratch)
        outcomes["last run clean" if outcome == "finished before" else "last run unclean"] += 1
        print(f"last {case.name:24} {case.seconds:6.2f} s  {outcome}", flush=True)
    print(dict(outcomes))
    sys.exit(1 if outcomes["unclean"] or outcomes["last run unclean"] else 0)


if __name__ == "__main__":
    main()
