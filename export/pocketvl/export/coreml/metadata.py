"""What Xcode shows of the packages, and what they tell whoever loads them."""

from importlib.metadata import version

from pocketvl.export.coreml.package import Description
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.runtime import names

# A checkpoint's tensors and config do not say under what licence they are; its card may.
LICENCE = (
    "Weights: the licence of the checkpoint that was exported, which the bundle's README.md names where it is"
    " known. Program: Apache-2.0."
)

_TENSORS = {
    names.PATCHES: "Flattened patches in the merger's order, padded with zeros",
    names.ROPE_COS: "Cosines of the rotary angles of each row, computed by the host",
    names.ROPE_SIN: "Sines of the rotary angles of each row, computed by the host",
    names.KEY_MASK: "1 for a patch, 0 for padding",
    names.IMAGE_EMBEDDINGS: "One row a token; rows of padding mean nothing",
    names.EMBEDDINGS: "Embeddings of the tokens, or the hidden states of the chunk before",
    names.CACHE_POSITION: "Slot of the key-value cache that the first token goes to",
    names.ATTENTION_MASK: "Added to scores: 0 where a token sees a slot, a large negative number elsewhere",
    names.HIDDEN: "Hidden states",
    names.TOKEN_IDS: "Token ids",
    names.LOGITS: "One score a token of the vocabulary",
    names.K_CACHE: "Keys: layer, head, slot, element",
    names.V_CACHE: "Values: layer, head, slot, element",
}


def describe(summary: str, plan: LayerPlan, facts: dict[str, int | str]) -> Description:
    """facts: what is true of this package alone."""
    text, vision = plan.geometry.text, plan.geometry.vision
    common: dict[str, int | float | str] = {
        "hidden_size": text.hidden_size,
        "num_layers": text.num_layers,
        "vocab_size": text.vocab_size,
        "head_dim": text.head_dim,
        "rope_theta": text.rope_theta,
        "mrope_section": ",".join(map(str, text.mrope_section)),
        "patch_size": vision.patch_size,
        "merge_area": vision.merge_area,
    }
    return Description(
        summary=summary,
        licence=LICENCE,
        facts={
            "pocketvl": version("pocketvl"),
            "recipe": plan.recipe.name,
            "quantization_method": plan.method,
            **{key: str(value) for key, value in (common | facts).items()},
        },
        tensors=_TENSORS,
    )
