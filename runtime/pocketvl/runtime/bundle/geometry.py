"""The sizes of a Qwen2-VL model, read from its config and carried in the manifest."""

from dataclasses import dataclass
from math import isfinite


@dataclass(frozen=True)
class VisionGeometry:
    """The vision tower. Sizes in elements."""

    depth: int
    hidden_size: int  # width of a block; "embed_dim" in the hub's config
    intermediate_size: int
    num_heads: int
    in_channels: int
    patch_size: int  # pixels along one side
    temporal_patch_size: int  # frames in one patch
    spatial_merge_size: int  # patches along one side of a token
    output_size: int  # width of an image embedding = the decoder's hidden size
    layer_norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        _positive(self, "depth", "hidden_size", "intermediate_size", "num_heads", "in_channels")
        _positive(self, "patch_size", "temporal_patch_size", "spatial_merge_size", "output_size")
        if self.hidden_size % self.num_heads or self.head_dim % 4:
            raise ValueError(
                f"vision hidden_size {self.hidden_size} must divide into {self.num_heads} heads"
                " whose size is a multiple of 4"
            )

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_heads

    @property
    def patch_dim(self) -> int:
        """Elements of one flattened patch: channels x frames x height x width."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2

    @property
    def merge_area(self) -> int:
        """Patches that become one token."""
        return self.spatial_merge_size**2

    @property
    def factor(self) -> int:
        """Pixels along one side of a token; image sides are multiples of it."""
        return self.patch_size * self.spatial_merge_size


@dataclass(frozen=True)
class TextGeometry:
    """The decoder. Sizes in elements."""

    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    rope_theta: float
    rms_norm_eps: float
    mrope_section: tuple[int, int, int]  # rope frequencies of the t, h and w axis
    max_position_embeddings: int
    tie_word_embeddings: bool

    def __post_init__(self) -> None:
        _positive(self, "num_layers", "hidden_size", "intermediate_size", "num_heads", "num_kv_heads")
        _positive(self, "head_dim", "vocab_size", "max_position_embeddings")
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"{self.num_heads} query heads do not divide among {self.num_kv_heads} key-value heads"
            )
        if sum(self.mrope_section) * 2 != self.head_dim:
            raise ValueError(
                f"mrope_section {list(self.mrope_section)} must sum to half of head_dim {self.head_dim}"
            )


@dataclass(frozen=True)
class ModelGeometry:
    vision: VisionGeometry
    text: TextGeometry

    def __post_init__(self) -> None:
        if self.vision.output_size != self.text.hidden_size:
            raise ValueError(
                f"vision output size {self.vision.output_size} differs from the decoder's"
                f" hidden size {self.text.hidden_size}"
            )


@dataclass(frozen=True)
class SpecialTokens:
    """Token ids with a meaning of their own."""

    image_pad: int
    video_pad: int
    vision_start: int
    vision_end: int
    eos: tuple[int, ...]  # any of these ends an answer
    im_end: int | None  # closes a turn; None for a base model without a chat template


@dataclass(frozen=True)
class ImageSettings:
    """How pixels are prepared. mean and std are per channel, for pixels in 0..1."""

    min_pixels: int
    max_pixels: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if not 0 < self.min_pixels <= self.max_pixels:
            raise ValueError(f"min_pixels {self.min_pixels} must lie in 1..max_pixels {self.max_pixels}")
        if min(self.std) <= 0:
            raise ValueError(f"image std {list(self.std)} must be positive")


@dataclass(frozen=True)
class SamplingDefaults:
    """What an answer uses when the caller says nothing. temperature 0 is greedy."""

    temperature: float = 0.0
    top_k: int = 0  # 0: no limit
    top_p: float = 1.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not (isfinite(self.temperature) and self.temperature >= 0):
            raise ValueError(f"temperature must be 0 (greedy) or more, not {self.temperature}")
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 (no limit) or more, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie above 0 and not above 1 (no limit), not {self.top_p}")
        if not (isfinite(self.repetition_penalty) and self.repetition_penalty > 0):
            raise ValueError(
                f"repetition_penalty must be above 0, 1 being none, not {self.repetition_penalty}"
            )


def _positive(owner: object, *names: str) -> None:
    for name in names:
        if getattr(owner, name) < 1:
            raise ValueError(f"{name} must be at least 1, not {getattr(owner, name)}")
