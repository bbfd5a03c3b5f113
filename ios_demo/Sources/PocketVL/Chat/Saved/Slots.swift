import Foundation

/// The slots of a saved conversation as tensors, believed only where they fit together.
///
///     token_ids       I64 (S,)   of all slots
///     media           I64 (S,)   the number of the image or clip that a slot belongs to, -1 for text
///     positions       I64 (3, S) rope positions t, h, w
///     embeddings.N    F32 (rows, hidden_size) of the N-th different image
struct StoredSlots: Sendable {
    /// An image or a clip: patches along t, h, w.
    struct Image: Sendable {
        let key: String
        let grid: Grid
    }

    /// Each different one.
    let images: [Image]
    /// Numbers of images, in the order of their slots.
    let media: [Int]
    let tensors: [TensorFile.Named]

    private static let mostKey = 128  // characters
    private static let text = -1  // stands for a slot of text
    private static let names = ["token_ids", "media", "positions"]

    init(images: [Image], media: [Int], tensors: [TensorFile.Named]) {
        self.images = images
        self.media = media
        self.tensors = tensors
    }

    init(_ feed: Feed) {
        var unique: [Media] = []
        var numbers: [String: Int] = [:]
        for media in feed.media where numbers[media.key] == nil {
            numbers[media.key] = unique.count
            unique.append(media)
        }
        let positions = feed.positions.t + feed.positions.h + feed.positions.w
        let slots = [
            Self.tensor([feed.count], feed.tokenIDs), Self.tensor([feed.count], Self.mediaNumbers(feed)),
            Self.tensor([3, feed.count], positions),
        ]
        tensors =
            zip(Self.names, slots).map { TensorFile.Named(name: $0, tensor: $1) }
            + unique.enumerated().map { number, media in
                TensorFile.Named(name: "embeddings.\(number)", tensor: Self.tensor(media.embeddings))
            }
        images = unique.map { Image(key: $0.key, grid: $0.grid) }
        media = feed.media.compactMap { numbers[$0.key] }
    }

    /// (S,): the number of each slot's image or clip in feed.media, -1 for text.
    static func mediaNumbers(_ feed: Feed) -> [Int] {
        var number = 0
        var row = 0
        return feed.mediaKeys.map { key in
            if key == nil { return text }
            while number < feed.media.count, row == feed.media[number].embeddings.rows {
                number += 1
                row = 0
            }
            row += 1
            return number
        }
    }

    /// Its embeddings are copies. Throws what ``misfit(_:)`` makes, and ``PocketVLError/prompt(_:)`` for what no
    /// conversation can be.
    func feed(_ manifest: Manifest) throws(PocketVLError) -> Feed {
        let wanted = Self.names + images.indices.map { "embeddings.\($0)" }
        guard Set(tensors.map { Exact($0.name) }) == Set(wanted.map(Exact.init)), tensors.count == wanted.count else {
            throw misfit("it has other tensors than its images need")
        }
        let (ids, numbers, positions) = try slots(manifest)
        var known: [Media] = []
        for number in images.indices { known.append(try image(number, manifest)) }
        if Set(known.map { Exact($0.key) }).count != known.count { throw misfit("it has an image twice") }
        if self.media.count > ids.count { throw misfit("its images have other slots than tokens") }
        var media: [Media] = []
        for number in self.media {
            guard known.indices.contains(number) else { throw misfit("it names an image that it lacks") }
            media.append(known[number])
        }
        try checkPlaceholders(ids, numbers, media, manifest)
        // A model may have generated the id of a placeholder, which is text then.
        let placeholders = zip(ids, numbers).map { $1 == Self.text ? Self.text : $0 }
        let expected = try Positions.mrope(
            placeholders, grids: media.map(\.grid), special: manifest.specialTokens,
            merge: manifest.geometry.vision.spatialMergeSize
        ).ids
        let count = ids.count
        guard expected.t == Array(positions[..<count]), expected.h == Array(positions[count..<2 * count]),
            expected.w == Array(positions[(2 * count)...])
        else { throw misfit("its rope positions are not those of its tokens") }
        let keys = numbers.map { $0 == Self.text ? nil : media[$0].key }
        return Feed(tokenIDs: ids, mediaKeys: keys, positions: expected, media: media)
    }

    private func tensor(_ name: String) -> CacheTensor? { tensors.first { $0.name.isExactly(name) }?.tensor }

    private func slots(
        _ manifest: Manifest
    ) throws(PocketVLError) -> (ids: [Int], numbers: [Int], positions: [Int]) {
        guard let ids = tensor("token_ids"), let numbers = tensor("media"), let positions = tensor("positions") else {
            throw misfit("it has other tensors than its images need")
        }
        let most = manifest.maxContext + 1  // the last token of an answer that filled the context has no slot
        guard ids.shape.count == 1, ids.shape[0] <= most, numbers.shape == ids.shape,
            positions.shape == [3] + ids.shape
        else { throw misfit("its slots are more than the context holds, or differ in number") }
        if [ids, numbers, positions].contains(where: { $0.dtype != "int64" }) {
            throw misfit("its slots are no whole numbers")
        }
        let tokenIDs = Self.integers(ids)
        if tokenIDs.contains(where: { !(0..<manifest.geometry.text.vocabSize).contains($0) }) {
            throw misfit("it has token ids outside the vocabulary")
        }
        return (tokenIDs, Self.integers(numbers), Self.integers(positions))
    }

    private func image(_ number: Int, _ manifest: Manifest) throws(PocketVLError) -> Media {
        let image = images[number]
        let merge = manifest.geometry.vision.spatialMergeSize
        let most = Saturating.product(manifest.maxContext, manifest.geometry.vision.mergeArea)
        let sides = [image.grid.t, image.grid.h, image.grid.w]
        if sides.contains(where: { !(1...most).contains($0) }) || image.grid.h % merge > 0 || image.grid.w % merge > 0 {
            throw misfit("an image has a grid that no image has")
        }
        if !(1...Self.mostKey).contains(image.key.unicodeScalars.count) {
            throw misfit("an image has no key, or a long one")
        }
        let shape = [image.grid.tokens(merge: merge), manifest.geometry.text.hiddenSize]
        guard let rows = tensor("embeddings.\(number)"), rows.dtype == "float32", rows.shape == shape else {
            throw misfit("an image's embeddings do not fit its grid")
        }
        let values = Self.floats(rows)
        if values.contains(where: { !$0.isFinite }) { throw misfit("an image's embeddings do not fit its grid") }
        return Media(
            grid: image.grid, key: image.key,
            embeddings: try Matrix(rows: shape[0], columns: shape[1], values: values))
    }

    private func checkPlaceholders(
        _ ids: [Int], _ numbers: [Int], _ media: [Media], _ manifest: Manifest
    ) throws(PocketVLError) {
        let found = numbers.filter { $0 != Self.text }
        let rows = media.reduce(0) { Saturating.sum($0, $1.embeddings.rows) }
        let isRight =
            found.count == rows
            && zip(
                found, media.enumerated().lazy.flatMap { repeatElement($0.offset, count: $0.element.embeddings.rows) }
            )
            .allSatisfy { $0 == $1 }
        if !isRight { throw misfit("its images have other slots than tokens") }
        let pads = [manifest.specialTokens.imagePad, manifest.specialTokens.videoPad]
        if zip(ids, numbers).contains(where: { $1 != Self.text && !pads.contains($0) }) {
            throw misfit("an image has a slot that is no placeholder")
        }
    }

    private static func tensor(_ shape: [Int], _ values: [Int]) -> CacheTensor {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(8 * values.count)
        for value in values { withUnsafeBytes(of: Int64(value).littleEndian) { bytes += $0 } }
        return CacheTensor(dtype: "int64", shape: shape, bytes: bytes)
    }

    private static func tensor(_ matrix: Matrix) -> CacheTensor {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(4 * matrix.values.count)
        for value in matrix.values { withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += $0 } }
        return CacheTensor(dtype: "float32", shape: [matrix.rows, matrix.columns], bytes: bytes)
    }

    private static func integers(_ tensor: CacheTensor) -> [Int] {
        tensor.bytes.withUnsafeBytes { bytes in
            (0..<bytes.count / 8).map {
                Int(Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Int64.self)))
            }
        }
    }

    private static func floats(_ tensor: CacheTensor) -> [Float] {
        tensor.bytes.withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map {
                Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)))
            }
        }
    }
}

/// Something that no saved conversation has, as a clause; whoever knows the file makes a sentence of it.
func misfit(_ clause: String) -> PocketVLError { .manifest(clause) }
