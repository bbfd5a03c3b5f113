/// The embedding table, the rope and the decoder's graph as one: tokens in, hidden states out.
///
/// For one task at a time, which holds the cache's claim.
public struct Decoder {
    private let engine: any TextEngine
    private let table: EmbeddingMap
    private let text: TextGeometry
    private let chunk: Int
    private let textRope: TextRope

    // What a call needs is kept, so that a token allocates nothing.
    private var embeddings: Matrix
    private var rope: Rope
    private var more: [Int] = []  // tokens that extend takes
    private var positions = PositionIDs()  // theirs

    /// Hidden states of the last call, (S, hiddenSize).
    public private(set) var hidden: Matrix

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
        textRope = TextRope(text)
        hidden = Matrix(rows: 0, columns: text.hiddenSize)
        embeddings = hidden
        rope = Rope(rows: 0, columns: text.headDim)
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
            Self.resize(&embeddings, rows: part.count)
            try table.gather(feed.tokenIDs[part], into: &embeddings)
            for (row, slot) in part.enumerated() where feed.mediaKeys[slot] != nil {
                rows.copyNext(into: &embeddings, row: row)
            }
            let positions = feed.positions[part]
            try decode(positions, at: start)
            engine.cache.append(
                tokenIDs: Array(feed.tokenIDs[part]), mediaKeys: Array(feed.mediaKeys[part]), positions: positions)
            if !onChunk(part.upperBound) { return part.upperBound == feed.count }
        }
        return true
    }

    /// Feeds `token` and the drafts after it as text after what the KV cache holds, together at most prefillChunk;
    /// their hidden states (S, hiddenSize) are in ``hidden``. Throws ``PocketVLError/engine(_:)``.
    public mutating func extend(_ token: Int, drafts: [Int] = []) throws(PocketVLError) {
        more.removeAll(keepingCapacity: true)
        more.append(token)
        more.append(contentsOf: drafts)
        positions.removeAll()
        let first = engine.cache.nextPosition
        for position in first..<first + more.count { positions.append(position, position, position) }
        Self.resize(&embeddings, rows: more.count)
        try table.gather(more[...], into: &embeddings)
        try decode(positions, at: engine.cache.count)
        for token in more { engine.cache.append(token) }
    }

    /// Goes back to the first `length` slots; the next token is written after them.
    public func truncate(_ length: Int) { engine.cache.truncate(length) }

    /// From the hidden states of the last call, all of them or the last alone.
    public mutating func computeLogits(ofLastAlone: Bool = false) throws(PocketVLError) {
        let rows = hidden.rows
        if rows == 0 { throw .usage("The decoder was fed nothing yet, so that no token follows; feed a prompt first.") }
        let wanted = ofLastAlone && rows > 1 ? hidden.slice(rows - 1..<rows) : hidden
        Self.resize(&logits, rows: wanted.rows)
        try engine.logits(hidden: wanted, into: &logits)
    }

    private mutating func decode(_ positions: PositionIDs, at slot: Int) throws(PocketVLError) {
        Self.resize(&hidden, rows: positions.count)
        Self.resize(&rope.cos, rows: positions.count)
        Self.resize(&rope.sin, rows: positions.count)
        textRope.fill(&rope, positions)
        try engine.decode(embeddings: embeddings, rope: rope, cachePosition: slot, into: &hidden)
    }

    private static func resize(_ matrix: inout Matrix, rows: Int) {
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
