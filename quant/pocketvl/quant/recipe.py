"""A recipe names the bits of every linear layer and how they are chosen; nothing weakens it quietly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from hashlib import sha256

from pocketvl.runtime.errors import RecipeError

WEIGHT_METHODS = ("rtn", "hqq")  # decide over a weight alone
CALIBRATED_METHODS = ("gptq",)  # decide over what flows into the layer
GENERATED = "generated"  # calibration data that pocketvl draws itself
GENERAL = "general"  # calibration data that comes with pocketvl: texts, chat turns and images of many kinds
METHODS = (*WEIGHT_METHODS, *CALIBRATED_METHODS)


_TOWER = "vision_encoder."
_SHOWN = 4  # layers, as examples


@dataclass(frozen=True)
class Precision:
    """32 or 16 (float), 8 (one scale an output channel) or 4 (one scale a group of inputs)."""

    bits: int
    group_size: int | None = None  # only for 4 bits

    def __post_init__(self) -> None:
        if self.bits not in (4, 8, 16, 32):
            raise RecipeError(f"bits must be 4, 8, 16 or 32, not {self.bits}.")
        if self.bits == 4 and (self.group_size is None or self.group_size < 32 or self.group_size % 32):
            raise RecipeError(f"4 bits need a group size that is a multiple of 32, not {self.group_size}.")
        if self.bits != 4 and self.group_size is not None:
            raise RecipeError(f"{self.bits} bits take no group size: XNNPACK groups 4-bit weights only.")

    @property
    def is_float(self) -> bool:
        """Not quantized: float32, or IEEE's half precision where weights are stored."""
        return self.bits >= 16

    def fits(self, in_features: int) -> bool:
        """Whether a layer with that many inputs can take these bits."""
        return self.group_size is None or in_features % self.group_size == 0

    def check(self, layer: str, in_features: int) -> None:
        """Raise RecipeError if a layer with that many inputs cannot take these bits."""
        if not self.fits(in_features):
            raise RecipeError(
                f"{layer} has {in_features} inputs, which 4-bit groups of {self.group_size} do not divide;"
                " give it 8 bits by a rule of the recipe."
            )


@dataclass(frozen=True)
class Rule:
    """Layers whose name matches the shell-style pattern get these bits.

    otherwise: 4 bits in other groups, the first that divides for layers whose inputs those of `bits` do not.
    """

    pattern: str
    precision: Precision
    otherwise: tuple[Precision, ...] = ()

    def __post_init__(self) -> None:
        if self.otherwise and {precision.bits for precision in (self.precision, *self.otherwise)} != {4}:
            raise RecipeError(f"Only 4 bits come in groups: {self.pattern!r} can have no further group size.")

    def bits_for(self, layer: str, in_features: int) -> Precision:
        """The bits of a layer of that name. Raises RecipeError if it cannot take them."""
        choices = (self.precision, *self.otherwise)
        chosen = next((precision for precision in choices if precision.fits(in_features)), choices[-1])
        chosen.check(layer, in_features)
        return chosen


@dataclass(frozen=True)
class Calibration:
    """What a calibrated method looks at, and how.

    data: "generated", "general", or a folder or .jsonl file of images and prompts; None where nobody said.
    samples: how many of them, drawn by seed. vision_weight: what an image's token counts against a text
    token's 1 in the decoder (VLMQ, arXiv 2508.03351, and MBQ, arXiv 2412.19509: images' tokens are many and
    alike, and less sensitive).
    damping: added to the Hessian's diagonal, as a share of its mean. folding: whether scales that make
    large inputs count (AWQ, arXiv 2306.00978) are folded into the layer before. correction: the
    share of what earlier layers have lost that the decoder's make up for (GPTAQ, arXiv 2504.02692); above 0
    the float model runs along.
    """

    data: str | None = None
    samples: int = 128
    seed: int = 0
    vision_weight: float = 0.3
    damping: float = 0.01
    folding: bool = True
    correction: float = 0.5

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise RecipeError(f"calibration needs at least one sample, not {self.samples}.")
        if not 0 <= self.vision_weight <= 100:
            raise RecipeError(f"vision_weight must lie in 0..100, not {self.vision_weight}.")
        if not 0 < self.damping <= 10:
            raise RecipeError(f"damping must be positive and at most 10, not {self.damping}.")
        if not 0 <= self.correction <= 1:
            raise RecipeError(f"correction must lie in 0..1, not {self.correction}.")


@dataclass(frozen=True)
class Recipe:
    """First matching rule wins; a layer that no rule matches is an error.

    Layer names: vision_encoder.patch_embed, vision_encoder.blocks.N.{qkv,proj,fc1,fc2},
    vision_encoder.merger.{fc1,fc2}, text_decoder.layers.N.{q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,
    down_proj}, lm_head, and lm_head.rotation where hidden states are rotated and embeddings tied.
    rotation: whether the decoder's hidden states and attention's values are rotated (quant/rotation.py), so
    that they have no outliers. Models of floats and packed checkpoints stay as they are.
    """

    name: str
    method: str
    rules: tuple[Rule, ...]
    calibration: Calibration = field(default_factory=Calibration)  # read by calibrated methods alone
    rotation: bool = False

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise RecipeError(f"{self.method!r} is no quantization method; known are {', '.join(METHODS)}.")

    def precision(self, layer: str, in_features: int) -> Precision:
        """The bits of a layer. Raises RecipeError if none are named or the layer cannot take them."""
        for rule in self.rules:
            if fnmatchcase(layer, rule.pattern):
                return rule.bits_for(layer, in_features)
        raise RecipeError(f"the recipe {self.name!r} has no rule for the layer {layer}.")

    def check_rules(self, layers: Sequence[str]) -> None:
        """Raise RecipeError for a rule that matches none of the model's layers: what it was meant for would
        silently get other bits."""
        for rule in self.rules:
            if not any(fnmatchcase(layer, rule.pattern) for layer in layers):
                near = (
                    get_close_matches(rule.pattern, layers, _SHOWN, cutoff=0.3)
                    or layers[:: max(1, len(layers) // _SHOWN)]
                )
                raise RecipeError(
                    f"the rule {rule.pattern!r} of the recipe {self.name!r} matches no layer of this model;"
                    f" layers are named {', '.join(near)}; correct or remove it."
                )

    def rounded(self) -> "Recipe":
        """The same, rounded to nearest, where there is nothing to calibrate on; rotated only if that pays."""
        return replace(self, method="rtn", rotation=self.rotation and _rotation_pays(self.rules, "rtn"))

    @property
    def quantizes(self) -> bool:
        """Whether it gives integers to any layer."""
        return any(not rule.precision.is_float for rule in self.rules)

    @property
    def calibrated(self) -> bool:
        """Whether its integers depend on calibration data."""
        most = 8 if self.rotation else 4
        return self.method in CALIBRATED_METHODS and any(rule.precision.bits <= most for rule in self.rules)

    def calibrates(self, layer: str, precision: Precision) -> bool:
        """Whether its method decides over that layer's integers by calibration data.

        Layers of 8 bits a channel lose next to nothing by rounding (docs/decisions/0006-calibration.md), but
        behind a rotation: there no norm's weights quiet the inputs that are large (0020-rotation.md).
        """
        if self.method not in CALIBRATED_METHODS or precision.is_float:
            return False
        return precision.bits < 8 or (self.rotation and not layer.startswith(_TOWER))

    def with_layers(self, layers: Mapping[str, Precision], name: str | None = None) -> "Recipe":
        """The same recipe with other bits for single layers, by their full names."""
        rules = tuple(Rule(layer, precision) for layer, precision in layers.items())
        return replace(self, name=self.name if name is None else name, rules=(*rules, *self.rules))

    def with_calibration(self, data: str | None, samples: int | None) -> "Recipe":
        """The same recipe over other data, or another number of samples. Raises RecipeError."""
        if data is None and samples is None:
            return self
        if not self.calibrated:
            raise RecipeError(
                f"The recipe {self.name!r} with the method {self.method!r} looks at no calibration data: that"
                f" needs the method {CALIBRATED_METHODS[0]} (as in int8-gptq) and layers of fewer than 8"
                " bits, or of 8 where hidden states are rotated."
            )
        changes = {"data": data, "samples": samples}
        given = {key: value for key, value in changes.items() if value is not None}
        return replace(self, calibration=replace(self.calibration, **given))  # type: ignore[arg-type]

    def fingerprint(self) -> str:
        """sha256 of all that decides integers: not of the name."""
        used = self.calibration if self.calibrated else None
        return sha256(repr((self.method, self.rules, used, self.rotation)).encode()).hexdigest()


def method_of(method: str, precision: Precision) -> str:
    """The method that decides over a layer of these bits that calibration has not decided over."""
    return method if precision.bits < 8 or method not in CALIBRATED_METHODS else "rtn"


_FLOAT = Precision(32)
_HALF = Precision(16)
_INT8 = Precision(8)
_INT4 = Precision(4, 32)
# onnxruntime keeps 8 bytes beside every group, so wide ones are a quarter less to read for each token.
_WIDE = (Precision(4, 128), (Precision(4, 64), _INT4))

# 1176 inputs of a patch do not divide by 32, so the patch embedding stays at 8 bits in every recipe.
_RULES: dict[str, tuple[Rule, ...]] = {
    "fp32": (Rule("*", _FLOAT),),
    "fp16": (Rule("*", _HALF),),
    "int8": (Rule("*", _INT8),),
    "int4": (Rule("text_decoder.*", _INT4), Rule("*", _INT8)),
    "int4-fast": (Rule("vision_encoder.*", _INT8), Rule("*", *_WIDE)),
    "int4-small": (Rule("vision_encoder.patch_embed", _INT8), Rule("*", _INT4)),
}
NAMED_RECIPES = tuple(_RULES)
# Where 4 bits are involved calibration keeps four fifths of what rounding loses; 8 bits lose next to nothing.
BEST_METHODS = {name: "gptq" if name.startswith("int4") else "rtn" for name in NAMED_RECIPES}


def named_recipe(name: str, method: str = "rtn") -> Recipe:
    """The rules of one of NAMED_RECIPES with that method, rotated where that pays.

    Raises RecipeError for another name or method.
    """
    if name not in _RULES:
        raise RecipeError(f"{name!r} is no recipe; known are {', '.join(NAMED_RECIPES)}.")
    return Recipe(name, method, _RULES[name], rotation=_rotation_pays(_RULES[name], method))


def _rotation_pays(rules: Sequence[Rule], method: str) -> bool:
    """It makes inputs of 8 bits better and 4-bit weights that are only rounded worse: no norm's weights quiet
    the inputs that are large any more (docs/decisions/0020-rotation.md)."""
    bits = {rule.precision.bits for rule in rules}
    return min(bits) == 8 or (min(bits) < 8 and method in CALIBRATED_METHODS)
