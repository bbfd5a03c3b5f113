"""The fp32 reference: transformers' own Qwen2-VL, from image and words to token ids.

Nothing of pocketvl's runtime is used, so that agreement means something: transformers resizes and
patches the image, renders the template, tokenizes, computes positions and decodes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pocketvl.evaluate.samples import Turn
from pocketvl.runtime.engines.native_log import captured_stderr
from pocketvl.runtime.errors import CheckpointError
from pocketvl.runtime.extras import import_failure

Float32 = NDArray[np.float32]


class Reference:
    """transformers.Qwen2VLForConditionalGeneration in float32, eager attention, no cache between turns."""

    def __init__(self, folder: Path, min_pixels: int, max_pixels: int) -> None:
        """`folder` is a checkpoint that transformers loads; the pixel limits are those of the bundle.

        Raises MissingExtraError without transformers, CheckpointError if it cannot load the folder.
        """
        with captured_stderr():  # torchao's optional CUDA libraries, reported at import
            try:
                import transformers
                from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
                    Qwen2VLImageProcessorPil,
                )
            except (ImportError, OSError, MemoryError) as error:
                needs = "Comparing with a checkpoint needs transformers"
                raise import_failure(error, needs, "evaluate") from None
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        try:
            self._model = transformers.Qwen2VLForConditionalGeneration.from_pretrained(
                folder, dtype=torch.float32, attn_implementation="eager", local_files_only=True
            ).eval()
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._processor = Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"transformers cannot load {folder}: {error}") from None
        self._size = {"shortest_edge": min_pixels, "longest_edge": max_pixels}
        self._image_pad = int(self._model.config.image_token_id)
        rows = self._model.config.get_text_config().vocab_size
        known = set(self._tokenizer.get_vocab().values())
        # Rows without a token, which the runtime never draws either.
        self._missing = [index for index in range(rows) if index not in known] or None

    @torch.no_grad()
    def encode_image(self, image: Image.Image) -> Float32:
        """Embeddings of one image, float32 (tokens, hidden_size)."""
        pixels, grid = self._pixels((image,))
        features = self._model.model.get_image_features(pixels, grid)
        return _array(torch.cat(list(features.pooler_output)))

    def prompt(self, turns: tuple[Turn, ...], answers: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        """Token ids up to where the last turn's answer begins; `answers` are those of the turns before it."""
        messages: list[dict[str, Any]] = []
        marks: list[str] = []
        for turn, answer in zip(turns, (*answers, None), strict=True):
            parts: list[dict[str, str]] = [{"type": "image"} for _ in turn.images]
            messages.append({"role": "user", "content": [*parts, {"type": "text", "text": turn.text}]})
            if answer is not None:
                marks.append(f"\0answer {len(marks)}\0")
                messages.append({"role": "assistant", "content": marks[-1]})
        text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids: list[int] = []
        # Earlier answers go in as the ids that were generated, not as text to be tokenized again.
        for mark, answer in zip(marks, answers, strict=True):
            before, text = text.split(mark)
            ids += [*self._tokenizer.encode(before, add_special_tokens=False), *answer]
        ids += self._tokenizer.encode(text, add_special_tokens=False)
        return self._expand(ids, turns)

    @torch.no_grad()
    def generate(
        self, ids: tuple[int, ...], images: tuple[Image.Image, ...], max_tokens: int
    ) -> tuple[int, ...]:
        """The greedy continuation, with the stop token if one came."""
        output = self._model.generate(
            **self._inputs(ids, images),
            max_new_tokens=max_tokens,
            do_sample=False,
            repetition_penalty=1.0,
            temperature=None,
            top_k=None,
            top_p=None,
            suppress_tokens=self._missing,
        )
        return tuple(output[0, len(ids) :].tolist())

    def forceable(self, answer: tuple[int, ...]) -> tuple[int, ...]:
        """The answer before a generated placeholder, which transformers would take for another image."""
        return answer[: answer.index(self._image_pad)] if self._image_pad in answer else answer

    @torch.no_grad()
    def logits(self, ids: tuple[int, ...], images: tuple[Image.Image, ...], last: int) -> Float32:
        """Teacher-forced logits of the last `last` tokens, float32 (last, vocab_size)."""
        return _array(self._model(**self._inputs(ids, images), logits_to_keep=last).logits[0])

    def decode(self, ids: tuple[int, ...]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def _pixels(self, images: tuple[Image.Image, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        resized = [self._at_least_one_factor(image) for image in images]
        batch = self._processor(images=resized, size=self._size, return_tensors="pt")
        return batch["pixel_values"], batch["image_grid_thw"]

    def _at_least_one_factor(self, image: Image.Image) -> Image.Image:
        """As qwen-vl-utils hands it over: the processor alone shortens what has a side that rounds to 0."""
        factor = self._processor.patch_size * self._processor.merge_size
        width, height = (max(factor, round(side / factor) * factor) for side in image.size)
        rounds_to_nothing = min(image.size) <= factor / 2
        if rounds_to_nothing and self._size["shortest_edge"] <= width * height <= self._size["longest_edge"]:
            return image.resize((width, height), Image.Resampling.BICUBIC)
        return image

    def _inputs(self, ids: tuple[int, ...], images: tuple[Image.Image, ...]) -> dict[str, torch.Tensor]:
        tokens = torch.tensor([ids])
        inputs = {
            "input_ids": tokens,
            "attention_mask": torch.ones_like(tokens),
            "mm_token_type_ids": (tokens == self._image_pad).int(),
        }
        if images:
            inputs["pixel_values"], inputs["image_grid_thw"] = self._pixels(images)
        return inputs

    def _expand(self, ids: list[int], turns: tuple[Turn, ...]) -> tuple[int, ...]:
        """Repeat each image_pad as often as its image has tokens."""
        images = tuple(image for turn in turns for image in turn.images)
        if not images:
            return tuple(ids)
        area = int(self._model.config.vision_config.spatial_merge_size) ** 2
        counts = iter((self._pixels(images)[1].prod(dim=1) // area).tolist())
        expanded: list[int] = []
        for token in ids:
            expanded += [token] * (next(counts) if token == self._image_pad else 1)
        return tuple(expanded)


def _array(tensor: torch.Tensor) -> Float32:
    result: Float32 = tensor.float().numpy()
    return result
