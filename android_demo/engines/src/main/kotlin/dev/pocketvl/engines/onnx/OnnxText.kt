package dev.pocketvl.engines.onnx

import dev.pocketvl.CacheTensor
import dev.pocketvl.Matrix
import dev.pocketvl.Names
import dev.pocketvl.SavesCache
import dev.pocketvl.TextEngine
import dev.pocketvl.bundle.Bundle
import dev.pocketvl.decoding.KVCache
import dev.pocketvl.engines.checkDecoderInputs
import dev.pocketvl.engines.checkHead

/** A [TextEngine] over the graphs of decoder and head; it can save its cache. */
internal class OnnxText(private val bundle: Bundle, private val runtime: Runtime) :
    TextEngine,
    SavesCache {
    private val manifest = bundle.manifest
    private var decoder: DecoderGraph? = null
    private var head: HeadGraph? = null
    override val cache = KVCache()

    override fun decode(embeddings: Matrix, ropeCos: Matrix, ropeSin: Matrix, cachePosition: Int, hidden: Matrix) {
        checkDecoderInputs(manifest, embeddings, ropeCos, ropeSin, cachePosition, hidden)
        val loaded = decoder()
        cache.truncate(cachePosition)
        loaded.run(embeddings, ropeCos, ropeSin, cachePosition, hidden)
    }

    override fun logits(hidden: Matrix, logits: Matrix) {
        checkHead(manifest, hidden, logits)
        head().run(hidden, logits)
    }

    override fun saveCache(length: Int): Map<String, CacheTensor> = decoder().cache.save(length)

    override fun loadCache(tensors: Map<String, CacheTensor>): Int {
        val memory = decoder().cache
        val count = memory.check(tensors)
        cache.truncate(0)
        memory.load(tensors, count)
        return count
    }

    override fun close() {
        cache.truncate(0)
        decoder?.close()
        decoder = null
        head?.close()
        head = null
    }

    private fun decoder(): DecoderGraph {
        decoder?.let { return it }
        // While a graph is loaded its largest weights are there twice, and the head's are the largest of all: 0.24 GB
        // less at the peak of the 2B model if that comes first.
        head()
        val graph = graph(Names.TEXT_DECODER)
        return closingOnFailure(graph) { DecoderGraph(graph, manifest) }.also { decoder = it }
    }

    private fun head(): HeadGraph = head ?: HeadGraph(graph(Names.LM_HEAD), manifest.geometry.text).also { head = it }

    private fun graph(name: String) = Graph(runtime, bundle, manifest.entries(name)[0])
}
