/// The embedding table, the rope and the decoder's graph as one: tokens in, hidden states out.
///
/// For one task at a time, which holds the cache's claim.
public struct Decoder {
    private let engine: any TextEngine
    private let table: EmbeddingMap
    private let text: TextGeometry
    private let chunk: Int

    /// Hidden states of the last call, (S, hiddenSize), and the embeddings that went in: kept, so that a token
    /// allocates nothing large.
    public private(set) var hidden: Matrix
    private var embeddings: Matrix

    /// Of the last ``computeLogits()``: (S, vocabSize).
    public private(set) var logits: Matrix

    public init(_ engine: any TextEngine, _ table: EmbeddingMap, _ manifest: Manifest) {
        self.init(engine, table, text: manifest.geometry.text, prefillChunk: manifest.prefillChunk)
    }

    init(_ engine: any TextEngine, _ table: EmbeddingMap, text: TextGeometry, prefillChunk: Int) {
        self.engine = engine
        self.table = table
        self.text = text
        chunk = max(1, prefillChunk)
        hidden = Matrix(rows: 0, columns: text.hiddenSize)
        embeddings = hidden
        logits = Matrix(rows: 0, columns: text.vocabSize)
    }

    /// Feeds a prompt in chunks and leaves the hidden states of the last one in ``hidden``.
    ///
    /// The feed's token i goes to KV slot i; those before `first` are in their slots already. A chunk border may be
    /// inside an image.
    ///
    /// - Parameter onChunk: tokens fed so far, after each chunk; false stops.
    /// - Returns: whether all was fed.
    /// - Throws: ``PocketVLError/prompt(_:)`` if the embeddings do not match the placeholders or there is nothing to
    ///   feed, ``PocketVLError/engine(_:)``.
    public mutating func feed(
        _ feed: Feed, from first: Int = 0, onChunk: (Int) -> Bool = { _ in true }
    ) throws(PocketVLError) -> Bool {
        if first < 0 || first >= feed.count { throw .prompt("The prompt is empty; build it with PromptEncoder.") }
        try feed.checkEmbeddings(columns: text.hiddenSize)
        var rows = MediaRows(feed.media)
        rows.skip(feed.mediaKeys[..<first].count { $0 != nil })
        for start in stride(from: first, to: feed.count, by: chunk) {
            let part = start..<min(start + chunk, feed.count)
            resize(&embeddings, rows: part.count)
            try table.gather(feed.tokenIDs[part], into: &embeddings)
            for (row, slot) in part.enumerated() where feed.mediaKeys[slot] != nil {
                rows.copyNext(into: &embeddings, row: row)
            }
            try decode(
                tokenIDs: Array(feed.tokenIDs[part]), mediaKeys: Array(feed.mediaKeys[part]),
                positions: feed.positions[part], at: start)
            if !onChunk(part.upperBound) { return part.upperBound == feed.count }
        }
        return true
    }

    /// Feeds S more text tokens after what the KV cache holds, S at most prefillChunk; their hidden states are in
    /// ``hidden``. Throws ``PocketVLError/engine(_:)``.
    public mutating func extend(_ tokenIDs: [Int]) throws(PocketVLError) {
        let more = Feed(text: tokenIDs, start: engine.cache.nextPosition)
        resize(&embeddings, rows: tokenIDs.count)
        try table.gather(tokenIDs[...], into: &embeddings)
        try decode(
            tokenIDs: more.tokenIDs, mediaKeys: more.mediaKeys, positions: more.positions, at: engine.cache.count)
    }

    /// Goes back to the first `length` slots; the next token is written after them.
    public func truncate(_ length: Int) { engine.cache.truncate(length) }

    /// From the hidden states of the last call, all of them or the last alone.
    public mutating func computeLogits(ofLastAlone: Bool = false) throws(PocketVLError) {
        let rows = hidden.rows
        if rows == 0 { throw .usage("The decoder was fed nothing yet, so that no token follows; feed a prompt first.") }
        let wanted = ofLastAlone && rows > 1 ? hidden.slice(rows - 1..<rows) : hidden
        resize(&logits, rows: wanted.rows)
        try engine.logits(hidden: wanted, into: &logits)
    }

    private mutating func decode(
        tokenIDs: [Int], mediaKeys: [String?], positions: PositionIDs, at slot: Int
    ) throws(PocketVLError) {
        resize(&hidden, rows: tokenIDs.count)
        let rope = Positions.textRope(positions, text)
        try engine.decode(embeddings: embeddings, rope: rope, cachePosition: slot, into: &hidden)
        engine.cache.append(tokenIDs: tokenIDs, mediaKeys: mediaKeys, positions: positions)
    }

    private func resize(_ matrix: inout Matrix, rows: Int) {
        if matrix.rows != rows { matrix = Matrix(rows: rows, columns: matrix.columns) }
    }
}

/// The rows of several images' embeddings, one after the other.
private struct MediaRows {
    private let media: [Media]
    private var current = 0
    private var row = 0

    init(_ media: [Media]) { self.media = media }

    mutating func skip(_ count: Int) {
        row += count
        settle()
    }

    mutating func copyNext(into matrix: inout Matrix, row target: Int) {
        guard current < media.count else { return }  // Feed.checkEmbeddings saw that there are enough
        let source = media[current].embeddings.row(row)
        matrix.withUnsafeMutableValues { values in
            let start = target * source.count
            for (column, value) in source.enumerated() { values[start + column] = value }
        }
        row += 1
        settle()
    }

    private mutating func settle() {
        while current < media.count, row >= media[current].embeddings.rows {
            row -= media[current].embeddings.rows
            current += 1
        }
    }
}
