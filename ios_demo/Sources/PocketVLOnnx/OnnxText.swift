internal import COnnxRuntime
import PocketVL

/// A ``TextEngine`` over the graphs of decoder and head; it can save its cache.
final class OnnxText: SavesCache, @unchecked Sendable {  // for one task at a time, which holds the cache's claim
    let cache = KVCache()
    private let bundle: ModelBundle
    private let runtime: Runtime
    private var loadedDecoder: DecoderGraph?
    private var loadedHead: HeadGraph?
    private var manifest: Manifest { bundle.manifest }

    init(_ bundle: ModelBundle, _ runtime: Runtime) {
        self.bundle = bundle
        self.runtime = runtime
    }

    func decode(
        embeddings: Matrix, rope: Rope, cachePosition: Int, into hidden: inout Matrix
    ) throws(PocketVLError) {
        try EngineChecks.decoder(manifest, embeddings, rope, cachePosition: cachePosition, hidden)
        let decoder = try decoder()
        cache.truncate(cachePosition)
        try decoder.run(embeddings, rope, cachePosition: cachePosition, into: &hidden)
    }

    func logits(hidden: Matrix, into logits: inout Matrix) throws(PocketVLError) {
        try EngineChecks.head(manifest, hidden, logits)
        try head().run(hidden, into: &logits)
    }

    func saveCache(length: Int) throws(PocketVLError) -> [String: CacheTensor] {
        try EngineChecks.savedSlots(manifest, length)
        return try decoder().cache.save(length: length)
    }

    func loadCache(_ tensors: [String: CacheTensor]) throws(PocketVLError) -> Int {
        let memory = try decoder().cache
        let count = try memory.check(tensors)
        cache.truncate(0)
        memory.load(tensors, count: count)
        return count
    }

    func close() {
        cache.truncate(0)
        loadedDecoder = nil
        loadedHead = nil
        pv_return_memory()
    }

    private func decoder() throws(PocketVLError) -> DecoderGraph {
        if let loadedDecoder { return loadedDecoder }
        // While a graph is loaded its largest weights are there twice, and the head's are the largest of all: 0.24 GB
        // less at the peak of the 2B model if that comes first.
        _ = try head()
        let graph = try Graph(runtime, bundle, Names.textDecoder)
        let decoder = try DecoderGraph(graph, manifest)
        loadedDecoder = decoder
        graph.giveBackFilePages()
        return decoder
    }

    private func head() throws(PocketVLError) -> HeadGraph {
        if let loadedHead { return loadedHead }
        let graph = try Graph(runtime, bundle, Names.lmHead)
        let head = HeadGraph(graph, manifest.geometry.text)
        loadedHead = head
        graph.giveBackFilePages()
        return head
    }
}
