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
    }

    private func decoder() throws(PocketVLError) -> DecoderGraph {
        if let loadedDecoder { return loadedDecoder }
        let decoder = try DecoderGraph(Graph(runtime, bundle, Names.textDecoder), manifest)
        loadedDecoder = decoder
        return decoder
    }

    private func head() throws(PocketVLError) -> HeadGraph {
        if let loadedHead { return loadedHead }
        let head = try HeadGraph(Graph(runtime, bundle, Names.lmHead), manifest.geometry.text)
        loadedHead = head
        return head
    }
}
