package dev.pocketvl

/** Every file, method and tensor name that an app reads. */
object Names {
    const val SCHEMA_VERSION = 2

    const val MANIFEST_FILE = "manifest.json"
    const val MANIFEST_HASH_FILE = "manifest.sha256"
    const val TOKENIZER_FILE = "tokenizer.json"
    const val CHAT_TEMPLATE_FILE = "chat_template.jinja"

    const val VISION_ENCODER = "vision_encoder"
    const val TOKEN_EMBEDDING = "token_embedding"
    const val TEXT_DECODER = "text_decoder"
    const val LM_HEAD = "lm_head"

    const val PATCHES = "patches"
    const val ROPE_COS = "rope_cos"
    const val ROPE_SIN = "rope_sin"
    const val KEY_MASK = "key_mask"
    const val IMAGE_EMBEDDINGS = "image_embeddings"
    const val EMBEDDINGS = "embeddings"
    const val CACHE_POSITION = "cache_position"
    const val HIDDEN = "hidden"
    const val LOGITS = "logits"
    const val SEQLENS_K = "seqlens_k"
    const val TOTAL_SEQUENCE_LENGTH = "total_sequence_length"

    /** Most hidden states of one lm_head call. */
    const val MAX_HEAD_ROWS = 16

    const val EXECUTORCH = "executorch"
    const val COREML = "coreml"
    const val ONNX = "onnx"
}
