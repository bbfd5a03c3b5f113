package dev.pocketvl.engines

import dev.pocketvl.BundleException
import dev.pocketvl.CacheTensor
import dev.pocketvl.EngineException
import dev.pocketvl.Matrix
import dev.pocketvl.bundle.Bundle
import dev.pocketvl.bundle.Manifest

// What every engine refuses, before native code sees it.

/** Native pools take any number, and a process without the memory for them dies silently. */
private const val MAX_THREADS = 256
private const val OTHER_CACHE = "These keys and values are of another model; feed the conversation again."

/** For an engine that runs bundles of one target. */
internal fun checkTarget(bundle: Bundle, target: String) {
    if (bundle.manifest.target != target) {
        throw BundleException("${bundle.folder} is a bundle for ${bundle.manifest.target}, not for $target.")
    }
}

/** For an engine's pool; null is the engine's own choice. */
internal fun checkThreads(threads: Int?) {
    if (threads != null && threads !in 1..MAX_THREADS) {
        throw EngineException("$threads threads were asked for; give 1..$MAX_THREADS, one a core is best.")
    }
}

internal fun checkImageInputs(manifest: Manifest, patches: Matrix, ropeCos: Matrix, ropeSin: Matrix) {
    val vision = manifest.geometry.vision
    val count = patches.rows
    val largest = manifest.buckets.last()
    if (count < 1 || count % vision.mergeArea != 0 || count > largest) {
        throw EngineException(
            "An image of $count patches was given; this bundle takes multiples of ${vision.mergeArea} up to $largest." +
                " Resize it first.",
        )
    }
    expect("patches", patches, count, vision.patchDim)
    expect("ropeCos", ropeCos, count, vision.headDim)
    expect("ropeSin", ropeSin, count, vision.headDim)
}

internal fun checkDecoderInputs(
    manifest: Manifest,
    embeddings: Matrix,
    ropeCos: Matrix,
    ropeSin: Matrix,
    cachePosition: Int,
    hidden: Matrix,
) {
    val text = manifest.geometry.text
    val count = embeddings.rows
    if (count !in 1..manifest.prefillChunk) {
        throw EngineException("$count tokens were given at once; this bundle takes 1..${manifest.prefillChunk}.")
    }
    if (cachePosition < 0 || cachePosition > manifest.maxContext - count) {
        throw EngineException(
            "KV slots $cachePosition..${cachePosition.toLong() + count - 1} lie outside the context of" +
                " ${manifest.maxContext} tokens.",
        )
    }
    expect("embeddings", embeddings, count, text.hiddenSize)
    expect("ropeCos", ropeCos, count, text.headDim)
    expect("ropeSin", ropeSin, count, text.headDim)
    expect("hidden", hidden, count, text.hiddenSize)
}

internal fun checkHead(manifest: Manifest, hidden: Matrix, logits: Matrix) {
    val text = manifest.geometry.text
    val rows = maxOf(hidden.rows, 1)
    expect("hidden", hidden, rows, text.hiddenSize)
    expect("logits", logits, rows, text.vocabSize)
}

/**
 * For loadCache: how many slots are given. Each of [names] must have a tensor of [dtype] and the shape [one], with
 * any number of slots, the same for all, at [slotAxis], where [one] has the most.
 */
internal fun checkCache(
    tensors: Map<String, CacheTensor>,
    names: Collection<String>,
    dtype: String,
    one: List<Int>,
    slotAxis: Int,
): Int {
    val count =
        tensors.values
            .firstOrNull()
            ?.shape
            ?.getOrNull(slotAxis)
    if (count == null || count !in 0..one[slotAxis] || tensors.size != names.size) throw EngineException(OTHER_CACHE)
    val shape = one.mapIndexed { axis, size -> if (axis == slotAxis) count else size }
    val bytes = shape.fold(4L) { product, size -> product * size }
    for (name in names) {
        val tensor = tensors[name]
        if (tensor == null || tensor.dtype != dtype || tensor.shape != shape || tensor.bytes.size.toLong() != bytes) {
            throw EngineException(OTHER_CACHE)
        }
    }
    return count
}

private fun expect(name: String, matrix: Matrix, rows: Int, columns: Int) {
    if (matrix.rows != rows || matrix.columns != columns) {
        throw EngineException("$name must be ($rows, $columns), not (${matrix.rows}, ${matrix.columns}).")
    }
}
