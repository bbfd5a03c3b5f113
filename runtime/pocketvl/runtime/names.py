"""Every file, method, tensor and state name that an app reads. Imports nothing."""

SCHEMA_VERSION = 2

# Files of a bundle.
MANIFEST_FILE = "manifest.json"
MANIFEST_HASH_FILE = "manifest.sha256"
TOKENIZER_FILE = "tokenizer.json"
CHAT_TEMPLATE_FILE = "chat_template.jinja"
TOKEN_EMBEDDING_FILE = "token_embedding.bin"
MODEL_CARD = "README.md"
VISION_ENCODER_PTE = "vision_encoder.pte"
TEXT_DECODER_PTE = "text_decoder.pte"
VISION_ENCODER_PACKAGE = "vision_encoder.mlpackage"
HEAD_PACKAGE = "head.mlpackage"

# Entry points, with the names that ExecuTorch's own runners use.
VISION_ENCODER = "vision_encoder"
TOKEN_EMBEDDING = "token_embedding"
TEXT_DECODER = "text_decoder"
LM_HEAD = "lm_head"
ROTATION = "rotation"  # in a manifest's quantization_method, where hidden states are rotated

# Tensors of the entry points.
PATCHES = "patches"
ROPE_COS = "rope_cos"
ROPE_SIN = "rope_sin"
KEY_MASK = "key_mask"
IMAGE_EMBEDDINGS = "image_embeddings"
EMBEDDINGS = "embeddings"
CACHE_POSITION = "cache_position"
ATTENTION_MASK = "attention_mask"
TOKEN_IDS = "ids"
HIDDEN = "hidden"
LOGITS = "logits"
SEQLENS_K = "seqlens_k"
TOTAL_SEQUENCE_LENGTH = "total_sequence_length"

# States of the Core ML decoder.
K_CACHE = "k_cache"
V_CACHE = "v_cache"

# ExecuTorch metadata methods.
GET_MAX_SEQ_LEN = "get_max_seq_len"
GET_MAX_CONTEXT_LEN = "get_max_context_len"
GET_VOCAB_SIZE = "get_vocab_size"
GET_EOS_IDS = "get_eos_ids"
USE_KV_CACHE = "use_kv_cache"

# Most hidden states of one lm_head call. Room for so many rows of logits is set aside when the method is
# loaded: 256 of them would take 156 MB.
MAX_HEAD_ROWS = 16

# Targets.
EXECUTORCH = "executorch"
COREML = "coreml"
ONNX = "onnx"
TARGETS = (EXECUTORCH, COREML, ONNX)

# An ONNX bundle is a model folder of transformers.js, too, whose names these are.
ONNX_FOLDER = "onnx"
HOST_PREFIX = "host_"  # of the graphs in that folder that our own runtime runs
HOST_VISION_ENCODER = f"{ONNX_FOLDER}/{HOST_PREFIX}{VISION_ENCODER}.onnx"
HOST_TEXT_DECODER = f"{ONNX_FOLDER}/{HOST_PREFIX}{TEXT_DECODER}.onnx"
HOST_LM_HEAD = f"{ONNX_FOLDER}/{HOST_PREFIX}{LM_HEAD}.onnx"
EMBED_TOKENS = "embed_tokens"
DECODER_MODEL = "decoder_model_merged"
TRANSFORMERS_JS_SESSIONS = (EMBED_TOKENS, DECODER_MODEL, VISION_ENCODER)
CONFIG_FILE = "config.json"
GENERATION_CONFIG_FILE = "generation_config.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
PREPROCESSOR_CONFIG_FILE = "preprocessor_config.json"
TRANSFORMERS_JS_FILES = (
    CONFIG_FILE,
    GENERATION_CONFIG_FILE,
    TOKENIZER_CONFIG_FILE,
    PREPROCESSOR_CONFIG_FILE,
)


def is_optional(path: str, target: str) -> bool:
    """Whether an app that uses our runtime may leave this file out: the model card, and what transformers.js
    alone reads. The manifest lists the latter as `optional_files`, and not the card, which people edit."""
    if path == MODEL_CARD:
        return True
    if target != ONNX:
        return False
    folder, _, file = path.rpartition("/")
    if folder != ONNX_FOLDER:
        return path in TRANSFORMERS_JS_FILES
    # The other .onnx_data files hold the weights of the host's graphs, too.
    graph = file.endswith(".onnx") and not file.startswith(HOST_PREFIX)
    return file.startswith(TRANSFORMERS_JS_SESSIONS) and (graph or file.startswith(EMBED_TOKENS))


def vision_bucket_method(patches: int) -> str:
    """Method of a vision encoder with a static shape of `patches` patches."""
    return f"{VISION_ENCODER}_{patches}"


def text_decoder_package(chunk: int, chunks: int) -> str:
    """File of the Core ML decoder, or of one of its chunks, counted from 0."""
    return f"{TEXT_DECODER}.mlpackage" if chunks == 1 else f"{TEXT_DECODER}_{chunk}.mlpackage"


def encode_function(patches: int) -> str:
    """Function of the Core ML vision encoder for exactly `patches` patches."""
    return f"encode_{patches}"


def decoder_function(tokens: int) -> str:
    """Function of the Core ML decoder for exactly `tokens` tokens."""
    return "decode" if tokens == 1 else f"prefill_{tokens}"


def cache_buffer(layer: int, part: str) -> str:
    """Buffer of the ExecuTorch decoder that is a layer's cache; part: "k" or "v"."""
    return f"layers.{layer}.attention.{part}_cache"


def past_tensor(layer: int, part: str) -> str:
    """Input of the ONNX decoder that holds a layer's cache so far; part: "key" or "value"."""
    return f"past_key_values.{layer}.{part}"


def present_tensor(layer: int, part: str) -> str:
    """Output of the ONNX decoder that holds a layer's cache with the new tokens; part: "key" or "value"."""
    return f"present.{layer}.{part}"
