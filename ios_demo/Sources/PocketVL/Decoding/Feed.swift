/// An image, or a clip of several temporal slices, as the decoder sees it.
public struct Media: Sendable {
    public let grid: Grid
    /// Equal for equal pixels only; images of one size have the same placeholder tokens, so nothing else tells their
    /// KV slots apart.
    public let key: String
    /// (t * h * w / merge^2, hiddenSize); no rows where only positions are wanted.
    public let embeddings: Matrix

    public init(grid: Grid, key: String, embeddings: Matrix) {
        self.grid = grid
        self.key = key
        self.embeddings = embeddings
    }
}

/// A token id, and the key of the image that its slot belongs to.
public struct Slot: Sendable, Hashable {
    public let tokenID: Int
    public let mediaKey: String?

    public init(_ tokenID: Int, _ mediaKey: String? = nil) {
        self.tokenID = tokenID
        self.mediaKey = mediaKey
    }
}

/// Where token ids, rope positions and image embeddings meet: S tokens in the order of their KV slots, to be fed to
/// the decoder.
public struct Feed: Sendable {
    public let tokenIDs: [Int]
    /// The key of the image that each slot belongs to, nil for text.
    public let mediaKeys: [String?]
    public let positions: PositionIDs
    /// The images and clips, in the order of their slots.
    public let media: [Media]

    public static let empty = Feed(tokenIDs: [], mediaKeys: [], positions: PositionIDs(), media: [])

    init(tokenIDs: [Int], mediaKeys: [String?], positions: PositionIDs, media: [Media]) {
        self.tokenIDs = tokenIDs
        self.mediaKeys = mediaKeys
        self.positions = positions
        self.media = media
    }

    /// A rendered prompt whose placeholders stand for `media`, in order, at rope positions from `start` on.
    ///
    /// `merge` is the vision encoder's spatialMergeSize. Throws ``PocketVLError/prompt(_:)`` where placeholders and
    /// media do not match.
    public init(
        _ tokenIDs: [Int], media: [Media], special: SpecialTokens, merge: Int, start: Int = 0
    ) throws(PocketVLError) {
        let (positions, _) = try Positions.mrope(
            tokenIDs, grids: media.map(\.grid), special: special, merge: merge, start: start)
        var keys = [String?](repeating: nil, count: tokenIDs.count)
        var remaining = media[...]
        var slot = 0
        while slot < tokenIDs.count {
            guard tokenIDs[slot] == special.imagePad || tokenIDs[slot] == special.videoPad,
                let one = remaining.popFirst()
            else {
                slot += 1
                continue
            }
            let count = one.grid.tokens(merge: merge)
            for place in slot..<slot + count { keys[place] = one.key }
            slot += count
        }
        self.init(tokenIDs: tokenIDs, mediaKeys: keys, positions: positions, media: media)
    }

    /// Plain tokens at rope positions from `start` on.
    ///
    /// For what a model generated: it may well generate a placeholder's id, which is then a token like any other.
    public init(text tokenIDs: [Int], start: Int) {
        var positions = PositionIDs()
        for position in start..<start + tokenIDs.count { positions.append(position, position, position) }
        let keys = [String?](repeating: nil, count: tokenIDs.count)
        self.init(tokenIDs: tokenIDs, mediaKeys: keys, positions: positions, media: [])
    }

    public var count: Int { tokenIDs.count }

    /// Rope position of the token that follows: the largest so far plus one, not the number of tokens.
    public var nextPosition: Int { positions.next }

    /// Both, one after the other.
    public func then(_ following: Feed) -> Feed {
        var positions = positions
        positions.append(contentsOf: following.positions)
        return Feed(
            tokenIDs: tokenIDs + following.tokenIDs, mediaKeys: mediaKeys + following.mediaKeys,
            positions: positions, media: media + following.media)
    }

    /// The first `length` slots, which must not end inside an image.
    public func first(_ length: Int) -> Feed {
        let length = min(max(0, length), count)
        var rows = mediaKeys[..<length].count { $0 != nil }
        let kept = media.prefix { one in
            defer { rows -= one.embeddings.rows }
            return rows > 0
        }
        return Feed(
            tokenIDs: Array(tokenIDs[..<length]), mediaKeys: Array(mediaKeys[..<length]),
            positions: positions[0..<length], media: Array(kept))
    }

    /// Token id and media key of each slot.
    public var slots: [Slot] { zip(tokenIDs, mediaKeys).map { Slot($0, $1) } }

    /// Throws ``PocketVLError/prompt(_:)`` unless there is a row of embeddings for each slot of an image.
    func checkEmbeddings(columns: Int) throws(PocketVLError) {
        let given = media.map(\.embeddings.rows).reduce(0, +)
        let wanted = mediaKeys.count { $0 != nil }
        if given != wanted || media.contains(where: { $0.embeddings.columns != columns }) {
            throw .prompt(
                "The prompt has \(wanted) image placeholders for \(given) image embeddings of"
                    + " \(media.map(\.embeddings.columns)) values, but the decoder takes \(columns); build it"
                    + " with Feed."
            )
        }
    }
}
