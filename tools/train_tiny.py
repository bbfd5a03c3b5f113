"""Trains the tiny model on generated images. Offline, and resumes where it was killed.

    python tools/train_tiny.py                      train (or go on training) in work/tiny
    python tools/train_tiny.py --check              compare the batched forward with transformers' own
    python tools/train_tiny.py --export FOLDER      write the checkpoint as it stands, in bfloat16

Two quiet cores make some two steps a second. The rate rises, stays, and falls to zero over the last part of
``--steps``; ``--steps`` may be changed between two runs.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "export"))

from tiny_batches import Batch, Batches  # noqa: E402
from tiny_files import train_tokenizer, write_side_files  # noqa: E402
from tiny_forward import answer_logits, compile_blocks, encode_images, patches  # noqa: E402
from tiny_losses import order_loss, token_loss, word_loss  # noqa: E402
from tiny_start import build_model, build_optimizers, whiten_patches  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

from pocketvl.export.tiny.example import iou, parse_box  # noqa: E402
from pocketvl.export.tiny.tasks import PART_NAMES, TASKS, make_drawn  # noqa: E402

SHARES = {"read": 0.27, "count": 0.14, "colour": 0.11, "chart": 0.10, "point": 0.22, "pair": 0.16}


def rate_factor(step: int, steps: int, decay: float) -> float:
    """Rises over 150 steps, stays at 1, falls linearly to 0 over the last ``decay`` of the run."""
    return min(1.0, (step + 1) / 150, max(0.02, (steps - step) / (steps * decay)))


def judge(batch: Batch, guessed: torch.Tensor, wanted: torch.Tensor) -> list[tuple[str, float]]:
    """Task and exactness of every answer given its own beginning; share of right tokens for "point"."""
    numbers = torch.from_numpy(batch.answers)[torch.from_numpy(batch.weights) > 0]
    right = torch.zeros(len(batch.tasks)).index_add_(0, numbers, (guessed == wanted).float())
    total = torch.zeros(len(batch.tasks)).index_add_(0, numbers, torch.ones(len(numbers)))
    share = (right / total).tolist()
    return [
        (task, part if task == "point" else float(part > 0.999))
        for task, part in zip(batch.tasks, share, strict=True)
    ]


@torch.no_grad()
def held_out(model: Any, batches: Batches, tokenizer: Tokenizer, number: int = 64) -> dict[str, float]:
    """Score per task on held-out images: what greedy decoding gives, but for boxes a little flattered."""
    scores = {}
    for task in TASKS:
        batch = batches.held_out(task, 1_000_000, number, *((4, 3) if task == "pair" else (4, 4)))
        with torch.autocast("cpu", torch.bfloat16):
            logits, wanted, *_ = answer_logits(model, batch, torch.bfloat16)
        guessed = logits.argmax(-1)
        if task == "point":
            numbers = torch.from_numpy(batch.answers)[torch.from_numpy(batch.weights) > 0]
            total = 0.0
            for place, asked in enumerate(batch.truths):
                box = parse_box(tokenizer.decode(guessed[numbers == place].tolist()))
                total += iou(box, asked.box) if box and asked.box else 0.0
            scores[task] = total / number
        else:
            marks = [mark for name, mark in judge(batch, guessed, wanted) if name == task]
            scores[task] = sum(marks) / len(marks)
    return scores


def check(model: Any, batches: Batches) -> None:
    """Fails if the batched forward and transformers disagree on the logits of a mixed batch."""
    worst = 0.0
    for number in range(6):
        batch = batches.training(number, SHARES)
        mine, *_ = answer_logits(model, batch, torch.float32)
        ids, weights = torch.from_numpy(batch.ids), torch.from_numpy(batch.weights)
        kinds = (ids == model.config.image_token_id).int()
        pixels = torch.from_numpy(batch.pixels)
        grid = torch.tensor([[1, pixels.shape[1] // 14, pixels.shape[2] // 14]]).expand(len(pixels), 3)
        rows = patches(pixels).view(-1, 3, 1, 196).expand(-1, 3, 2, 196).reshape(-1, 1176)
        theirs = model(input_ids=ids, pixel_values=rows, image_grid_thw=grid, mm_token_type_ids=kinds).logits[
            weights > 0
        ]
        positions, _ = model.model.get_rope_index(ids, kinds, grid)
        inside = (ids != 0).expand_as(positions)
        if not torch.equal(positions[inside], torch.from_numpy(batch.positions)[inside]):
            raise SystemExit("positions differ from transformers'")
        worst = max(worst, float((mine - theirs).abs().max()))
    print(f"largest logit difference {worst:.2e}")
    if worst > 1e-3:
        raise SystemExit("the batched forward differs from transformers'")


def export(model: Any, tokenizer: Tokenizer, folder: Path) -> None:
    """Writes the whole checkpoint, weights rounded to bfloat16."""
    import copy

    folder.mkdir(parents=True, exist_ok=True)
    rounded = copy.deepcopy(model).to(torch.bfloat16)
    rounded.save_pretrained(folder)
    write_side_files(folder, tokenizer)


def load_tokenizer(path: Path) -> Tokenizer:
    """The work folder's tokenizer, trained at first."""
    if not path.exists():
        drawn = [make_drawn(task, index, "train") for task in TASKS for index in range(300)]
        train_tokenizer(sorted({asked.question for one in drawn for asked in one.asked})).save(str(path))
    return Tokenizer.from_file(str(path))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=ROOT / "work" / "tiny")
    parser.add_argument("--steps", type=int, default=6400)
    parser.add_argument("--batch", type=int, default=16, help="conversations in a part of a batch")
    parser.add_argument("--parts", type=int, default=2, help="parts of a batch, each of one image size")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--decay", type=float, default=0.31)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this long")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--export", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)

    tokenizer = load_tokenizer(options.work / "tokenizer.json")
    model = build_model(options.seed)
    width = model.config.text_config.hidden_size
    helpers = torch.nn.ModuleDict(
        {
            "tokens": torch.nn.Linear(width, len(PART_NAMES) + 6),
            "words": torch.nn.Linear(width, len(PART_NAMES) + 44),
            "order": torch.nn.Linear(width, 2),
        }
    )
    batches = Batches(tokenizer, options.batch, options.seed)
    optimizers = build_optimizers(model, helpers)
    state: dict[str, Any] = {"step": 0, "seconds": 0.0, "marks": dict.fromkeys(TASKS, 0.0)}
    saved = options.work / "state.pt"
    if not saved.exists():
        whiten_patches(model, batches, SHARES)
    else:
        loaded = torch.load(saved, weights_only=True)
        model.load_state_dict(loaded["model"])
        helpers.load_state_dict(loaded["helpers"])
        for optimizer, content in zip(optimizers, loaded["optimizers"], strict=True):
            factors = [group["factor"] for group in optimizer.param_groups]
            optimizer.load_state_dict(content)
            # This program says how fast each group goes, not the run that was saved.
            for group, factor in zip(optimizer.param_groups, factors, strict=True):
                group["factor"] = factor
        state = loaded["state"]
    if options.check:
        check(model, Batches(tokenizer, 8, options.seed))
        return
    if options.export:
        export(model, tokenizer, options.export)
        print(f"step {state['step']}, {state['seconds'] / 60:.1f} minutes, written to {options.export}")
        return
    compile_blocks()
    train(model, helpers, tokenizer, batches, optimizers, state, options)


def save(
    model: Any,
    helpers: torch.nn.ModuleDict,
    optimizers: list[torch.optim.Optimizer],
    state: dict[str, Any],
    path: Path,
) -> None:
    """Replaces the saved state in one move, so that a kill never leaves half a file."""
    content = {
        "model": model.state_dict(),
        "helpers": helpers.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "state": state,
    }
    torch.save(content, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def gradients(
    model: Any, helpers: torch.nn.ModuleDict, batch: Batch, lettering: tuple[np.ndarray, ...]
) -> tuple[tuple[torch.Tensor, ...], list[float], list[tuple[str, float]]]:
    """Gradients of one part of a batch, in the order of the parameters; its losses; its marks.

    Letters are what takes longest to see, so the encoder gets images of ``lettering`` besides.
    """
    with torch.autocast("cpu", torch.bfloat16):
        logits, wanted, images, early, middle = answer_logits(model, batch, torch.bfloat16)
        letters = encode_images(model.model.visual, torch.from_numpy(lettering[0]), torch.bfloat16)
    weights = torch.from_numpy(batch.weights)
    weights = weights[weights > 0]
    loss = (F.cross_entropy(logits, wanted, reduction="none") * weights).sum() / weights.sum()
    others = (
        token_loss(helpers["tokens"], images, batch.parts, batch.places),
        2 * token_loss(helpers["tokens"], letters, *lettering[1:]),
        word_loss(helpers["words"], middle, batch),
        order_loss(helpers["order"], early, batch, model.config.image_token_id),
    )
    # Without a word to explain, its helper gets no gradient.
    found = torch.autograd.grad(
        loss + sum(others), [*model.parameters(), *helpers.parameters()], materialize_grads=True
    )
    return found, torch.stack([loss, *others]).tolist(), judge(batch, logits.argmax(-1), wanted)


def train(
    model: Any,
    helpers: torch.nn.ModuleDict,
    tokenizer: Tokenizer,
    batches: Batches,
    optimizers: list[torch.optim.Optimizer],
    state: dict[str, Any],
    options: argparse.Namespace,
) -> None:
    """Steps until ``--steps``; the state is saved every 200."""
    marks, spent, begun = state["marks"], state["seconds"], time.time()
    losses = torch.zeros(5)
    since, state["resumed"] = (begun, time.process_time()), state["step"]
    # Threads share out the parts of a batch, not every matrix product: on a busy machine threads that meet
    # after every operation wait for the slowest one all the time.
    torch.set_num_threads(1)
    workers = ThreadPoolExecutor(options.threads)
    while state["step"] < options.steps and (time.time() - begun) / 60 < options.minutes:
        step = state["step"]
        factor = rate_factor(step, options.steps, options.decay)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = options.rate * group["factor"] * factor
        # What is already answered well gets less of the batch.
        left = {task: 1 - marks[task] for task in TASKS}
        # Three in five signs of a box are right for anybody who knows how boxes are written.
        left["point"] = min(1.0, left["point"] * 2.5)
        shares = {task: SHARES[task] * (0.3 + 0.7 * left[task]) for task in TASKS}
        numbers = range(step * options.parts, (step + 1) * options.parts)
        # The first steps compile, which is better done one at a time.
        run = map if step < state["resumed"] + 3 else workers.map
        results = list(
            run(
                lambda number, shares=shares: gradients(
                    model, helpers, batches.training(number, shares), batches.lettering(number)
                ),
                numbers,
            )
        )
        found = zip(*(result[0] for result in results), strict=True)
        for weight, parts in zip([*model.parameters(), *helpers.parameters()], found, strict=True):
            weight.grad = torch.stack(parts).mean(0)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        list(workers.map(lambda optimizer: optimizer.step(), optimizers))
        for _, loss, judged in results:
            losses += torch.tensor(loss) / options.parts / 50
            for task, mark in judged:
                if task in marks:
                    marks[task] += 0.01 * (mark - marks[task])
        state["step"] = step + 1
        state["seconds"] = spent + time.time() - begun
        if (step + 1) % 50 == 0:
            parts = " ".join(f"{task} {marks[task]:.2f}" for task in TASKS)
            pace, used = (time.time() - since[0]) / 50, (time.process_time() - since[1]) / 50
            since = time.time(), time.process_time()
            print(
                f"{step + 1} losses {' '.join(f'{loss:.3f}' for loss in losses)}"
                f" {state['seconds'] / 60:.1f} min {pace:.2f} s/step {used:.2f} cpu | {parts}",
                flush=True,
            )
            losses.zero_()
        if (step + 1) % 200 == 0:
            scores = held_out(model, batches, tokenizer)
            print(
                "  held-out " + " ".join(f"{task} {score:.2f}" for task, score in scores.items()), flush=True
            )
            save(model, helpers, optimizers, state, options.work / "state.pt")
    save(model, helpers, optimizers, state, options.work / "state.pt")


if __name__ == "__main__":
    main()
