"""Scores the tiny checkpoint on held-out images through transformers itself: greedy and in fp32.

python tools/evaluate_tiny.py [--folder FOLDER] [--number 200] [--first 0]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "export"))

from pocketvl.export.tiny import TASKS, checkpoint_folder, make_example, score

Turn = tuple[tuple[Image.Image, ...], str]


def answerer(folder: Path) -> Callable[[list[Turn]], list[str]]:
    """A function from the user's turns to the model's answers; each answer is kept for the turns after it."""
    model = Qwen2VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    processor = Qwen2VLImageProcessorPil.from_pretrained(folder)
    merge = processor.merge_size**2

    @torch.no_grad()
    def answer(turns: list[Turn]) -> list[str]:
        messages: list[dict[str, object]] = []
        images: list[Image.Image] = []
        answers: list[str] = []
        for new, question in turns:
            images += new
            content = [{"type": "image"} for _ in new] + [{"type": "text", "text": question}]
            messages.append({"role": "user", "content": content})
            prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            inputs: dict[str, torch.Tensor] = {}
            if images:
                inputs = dict(processor(images, return_tensors="pt"))
                pieces = prompt.split("<|image_pad|>")
                counts = (inputs["image_grid_thw"].prod(-1) // merge).tolist()
                prompt = pieces[0]
                for count, piece in zip(counts, pieces[1:], strict=True):
                    prompt += "<|image_pad|>" * count + piece
            ids = tokenizer(prompt, return_tensors="pt").input_ids
            if images:
                inputs["mm_token_type_ids"] = (ids == model.config.image_token_id).int()
            made = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=32,
                do_sample=False,
                **inputs,
            )
            text = tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
            answers.append(text)
            messages.append({"role": "assistant", "content": text})
        return answers

    return answer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=checkpoint_folder())
    parser.add_argument("--number", type=int, default=200, help="examples per task")
    parser.add_argument("--first", type=int, default=0, help="index of the first example")
    parser.add_argument("--show", type=int, default=0, help="print this many wrong answers per task")
    options = parser.parse_args()
    answer = answerer(options.folder)
    print(f"{'task':<8} {'score':>6}  examples")
    for task in TASKS:
        total, shown = 0.0, 0
        for index in range(options.first, options.first + options.number):
            example = make_example(task, index)
            given = answer([(example.images, example.question)])[0]
            mark = score(example, given)
            total += mark
            if mark < 0.5 and shown < options.show:
                shown += 1
                print(f"    {task} {index} {example.question} {example.answer!r}, answered {given!r}")
        print(f"{task:<8} {total / options.number:6.3f}  {options.number}", flush=True)


if __name__ == "__main__":
    main()
