package dev.pocketvl

/** Every file, method and tensor name that an app reads. */
object Names {
    const val SCHEMA_VERSION = 2

    const val MANIFEST_FILE = "manifest.json"
    const val MANIFEST_HASH_FILE = "manifest.sha256"
    const val TOKENIZER_FILE = "tokenizer.json"
    const val CHAT_TEMPLATE_FILE = "chat_template.jinja"
    const val VISION_ENCODER_PTE = "vision_encoder.pte"
    const val TEXT_DECODER_PTE = "text_decoder.pte"
    const val HOST_VISION_ENCODER = "onnx/host_vision_encoder.onnx"
    const val HOST_TEXT_DECODER = "onnx/host_text_decoder.onnx"
    const val HOST_LM_HEAD = "onnx/host_lm_head.onnx"

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

    /** Constant methods of ExecuTorch's decoder. */
    const val GET_MAX_SEQ_LEN = "get_max_seq_len"
    const val GET_MAX_CONTEXT_LEN = "get_max_context_len"
    const val GET_VOCAB_SIZE = "get_vocab_size"

    /** Most hidden states of one lm_head call. */
    const val MAX_HEAD_ROWS = 16

    const val EXECUTORCH = "executorch"
    const val COREML = "coreml"
    const val ONNX = "onnx"
    val TARGETS = listOf(EXECUTORCH, COREML, ONNX)

    /** Method of a vision encoder with a static shape of [patches] patches. */
    fun visionBucketMethod(patches: Int): String = "${VISION_ENCODER}_$patches"

    /** Input of the ONNX decoder that holds a layer's cache so far; [part]: key or value. */
    fun pastTensor(layer: Int, part: String): String = "past_key_values.$layer.$part"

    /** Output of the ONNX decoder that holds a layer's cache with the new tokens; [part]: key or value. */
    fun presentTensor(layer: Int, part: String): String = "present.$layer.$part"
}
