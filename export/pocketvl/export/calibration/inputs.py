"""A sample becomes what the graphs take, by the runtime's own steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pocketvl.export.calibration.samples import Sample
from pocketvl.export.checkpoint import Checkpoint
from pocketvl.runtime.bundle.geometry import ImageSettings
from pocketvl.runtime.decoding.feed import Media, build_feed
from pocketvl.runtime.errors import CalibrationError, ImageError, PromptError
from pocketvl.runtime.media.patches import patchify
from pocketvl.runtime.media.resize import resize_image, resize_to_bucket
from pocketvl.runtime.positions import text_rope, vision_rope
from pocketvl.runtime.text.messages import ImagePart, Message, Part, Text
from pocketvl.runtime.text.prompt import PromptEncoder
from pocketvl.runtime.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class ImageInputs:
    """patches (N, patch_dim), rope_cos and rope_sin (N, head_dim); float32."""

    patches: torch.Tensor
    rope_cos: torch.Tensor
    rope_sin: torch.Tensor


@dataclass(frozen=True)
class TextInputs:
    """token_ids int64 (S,), is_image bool (S,), rope_cos and rope_sin float32 (S, head_dim)."""

    token_ids: torch.Tensor
    is_image: torch.Tensor
    rope_cos: torch.Tensor
    rope_sin: torch.Tensor


@dataclass(frozen=True)
class SampleInputs:
    images: tuple[ImageInputs, ...]
    text: TextInputs


class InputMaker:
    """For one checkpoint and its image sizes."""

    def __init__(
        self, checkpoint: Checkpoint, image: ImageSettings, buckets: Sequence[int], max_context: int
    ) -> None:
        self._geometry, self._special = checkpoint.geometry, checkpoint.special_tokens
        self._image, self._buckets, self._max_context = image, buckets, max_context
        tokenizer = Tokenizer(checkpoint.tokenizer_file)
        template = checkpoint.chat_template if checkpoint.chat else None
        self._prompts = PromptEncoder(tokenizer, checkpoint.special_tokens, template)
        self._plain = PromptEncoder(tokenizer, checkpoint.special_tokens, None)

    def make(self, sample: Sample, number: int) -> SampleInputs:
        """Raises CalibrationError, which names the sample by its number."""
        try:
            return self._make(sample)
        except (ImageError, PromptError) as error:
            raise CalibrationError(f"Calibration sample {number}: {error}") from None

    def _make(self, sample: Sample) -> SampleInputs:
        vision, images, grids = self._geometry.vision, [], []
        for image in sample.load_images():
            size = resize_to_bucket(image.height, image.width, vision, self._image, self._buckets)
            patches, grid = patchify(resize_image(image, size), vision, self._image)
            cos, sin = (torch.from_numpy(part) for part in vision_rope(grid[1], grid[2], vision))
            images.append(ImageInputs(torch.from_numpy(patches), cos, sin))
            grids.append(grid)
        parts: list[Part] = [*(ImagePart(image) for image in sample.images), Text(sample.prompt)]
        messages = [] if sample.system is None else [Message("system", (Text(sample.system),))]
        messages.append(Message("user", tuple(parts)))
        if sample.answer is not None:
            messages.append(Message("assistant", (Text(sample.answer),)))
        counts = [rows * columns // vision.merge_area for _, rows, columns in grids]
        prompts = self._plain if sample.plain else self._prompts
        ids = prompts.encode(messages, counts, answer_next=sample.answer is None)
        if len(ids) > self._max_context:
            shorter = "use a smaller image" if images else "split the text"
            raise PromptError(
                f"it has {len(ids)} tokens, more than the context of {self._max_context}; {shorter}."
            )
        unencoded = np.empty((0, self._geometry.text.hidden_size), np.float32)
        media = [Media(grid, str(number), unencoded) for number, grid in enumerate(grids)]
        feed = build_feed(ids, media, self._special, vision.spatial_merge_size)
        cos, sin = (torch.from_numpy(part) for part in text_rope(feed.positions, self._geometry.text))
        is_image = torch.from_numpy(feed.is_media())
        return SampleInputs(tuple(images), TextInputs(torch.tensor(ids), is_image, cos, sin))
