package dev.pocketvl

import dev.pocketvl.decoding.KVCache
import dev.pocketvl.decoding.speculation.PassCosts

/**
 * The vision encoder of one bundle, loaded when first needed.
 *
 * Calls wait for each other; the text engine may run meanwhile. What is returned is a copy. Throws
 * [EngineException], and [BundleException] where a file is not what the manifest says.
 */
interface VisionEngine {
    /**
     * One still image or one temporal slice of a video.
     *
     * [patches] (N, patchDim), [ropeCos] and [ropeSin] (N, vision headDim), N at most the largest bucket; an
     * engine with static shapes pads and masks. Returns (N / mergeArea, hiddenSize).
     */
    fun encode(patches: Matrix, ropeCos: Matrix, ropeSin: Matrix): Matrix

    /** Frees the encoder's memory; the next [encode] loads it again. */
    fun release()
}

/**
 * Decoder and head of one bundle, with the KV cache as their own state, loaded when first needed.
 *
 * For one thread at a time, which holds [KVCache.claim]. Results are written into matrices of the caller, so that
 * a token allocates nothing large. Throws as [VisionEngine] does.
 */
interface TextEngine {
    /** What the slots hold; [decode] and [close] truncate it. */
    val cache: KVCache

    /**
     * Runs S tokens whose keys and values go to the KV slots [cachePosition] until `cachePosition + S`.
     *
     * [embeddings] (S, hiddenSize), [ropeCos] and [ropeSin] (S, headDim), S at most prefillChunk. A slot written
     * before is overwritten; slots from `cachePosition + S` on count as empty. [hidden] (S, hiddenSize) is filled.
     */
    fun decode(embeddings: Matrix, ropeCos: Matrix, ropeSin: Matrix, cachePosition: Int, hidden: Matrix)

    /** [hidden] (K, hiddenSize), any K from 1; fills [logits] (K, vocabSize). */
    fun logits(hidden: Matrix, logits: Matrix)

    /** Frees weights and keys and values; the next call loads the files again. */
    fun close()
}

/** A text engine whose keys and values can be taken out and put back into an engine of the same bundle. */
interface SavesCache {
    /**
     * Copies of the slots 0 until [length] by tensor name, in the target's own layout and float type.
     *
     * Empty where this bundle's graphs do not let them out: then a conversation is fed again.
     */
    fun saveCache(length: Int): Map<String, CacheTensor>

    /**
     * Puts what [saveCache] gave into the first slots, and returns how many; the caller says by [KVCache.append]
     * what they hold. Throws [EngineException] for tensors of another bundle.
     */
    fun loadCache(tensors: Map<String, CacheTensor>): Int
}

/** Bytes of a tensor, little-endian and row-major. [dtype] is numpy's name: float32, float16, int8. */
class CacheTensor(val dtype: String, val shape: List<Int>, val bytes: ByteArray)

/** All graphs of one bundle. [costs] are measured while it answers. */
class Engine(val vision: VisionEngine, val text: TextEngine, val costs: PassCosts = PassCosts()) {
    /** Frees the memory of both. */
    fun close() {
        vision.release()
        text.close()
    }
}
