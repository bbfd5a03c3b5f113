import Foundation

/// Patches along the temporal axis, rows and columns.
public struct Grid: Sendable, Hashable {
    public let t: Int
    public let h: Int
    public let w: Int

    public init(t: Int, h: Int, w: Int) {
        self.t = t
        self.h = h
        self.w = w
    }

    /// Tokens of an image or video of these patches; the largest `Int` where that is beyond any.
    func tokens(merge: Int) -> Int {
        merge < 1 ? 0 : Saturating.product(t, Saturating.product(h / merge, w / merge))
    }
}

extension Grid: CustomStringConvertible {
    /// As Python writes a tuple.
    public var description: String { "(\(t), \(h), \(w))" }
}

/// cos and sin of rotary angles, each (rows, headDim).
public struct Rope: Sendable, Equatable {
    public internal(set) var cos: Matrix
    public internal(set) var sin: Matrix

    public init(cos: Matrix, sin: Matrix) {
        self.cos = cos
        self.sin = sin
    }
}

/// M-RoPE ids of S tokens: three numbers each.
public struct PositionIDs: Sendable, Equatable {
    public private(set) var t: [Int] = []
    public private(set) var h: [Int] = []
    public private(set) var w: [Int] = []

    public init() {}

    public var count: Int { t.count }

    /// The position after them: the largest id so far plus one; 0 without any.
    public var next: Int { (zip(t, zip(h, w)).map { max($0, max($1.0, $1.1)) }.max() ?? -1) + 1 }

    /// The largest of a token's three.
    func largest(of token: Int) -> Int { max(t[token], max(h[token], w[token])) }

    mutating func append(_ t: Int, _ h: Int, _ w: Int) {
        self.t.append(t)
        self.h.append(h)
        self.w.append(w)
    }

    mutating func append(contentsOf other: PositionIDs) {
        t += other.t
        h += other.h
        w += other.w
    }

    mutating func removeAll() {
        t.removeAll(keepingCapacity: true)
        h.removeAll(keepingCapacity: true)
        w.removeAll(keepingCapacity: true)
    }

    mutating func reserveCapacity(_ count: Int) {
        t.reserveCapacity(count)
        h.reserveCapacity(count)
        w.reserveCapacity(count)
    }

    /// Those of some tokens, which must be there.
    subscript(range: Range<Int>) -> PositionIDs {
        var part = PositionIDs()
        part.t = Array(t[range])
        part.h = Array(h[range])
        part.w = Array(w[range])
        return part
    }
}

/// Rotary positions, all computed on the host in float32, so that no graph knows about them.
///
/// Vision: a patch has a row and a column, each turning a quarter of headDim's frequencies.
/// Text (M-RoPE): a token has three ids (t, h, w); mropeSection says which frequencies turn by which id.
public enum Positions {
    private static let visionTheta = 10000.0

    /// Row and column of each of rows * columns patches, in the order of ``Patches``' rows.
    static func vision(rows: Int, columns: Int, merge: Int) -> [(row: Int, column: Int)] {
        var positions: [(row: Int, column: Int)] = []
        positions.reserveCapacity(rows * columns)
        for row in stride(from: 0, to: rows - rows % merge, by: merge) {
            for column in stride(from: 0, to: columns - columns % merge, by: merge) {
                for y in 0..<merge {
                    for x in 0..<merge { positions.append((row + y, column + x)) }
                }
            }
        }
        return positions
    }

    /// cos and sin (rows * columns, headDim) for one temporal slice; every slice of a video has the same.
    public static func visionRope(rows: Int, columns: Int, _ vision: VisionGeometry) -> Rope {
        let frequencies = frequencies(theta: visionTheta, dim: vision.headDim / 2)
        let positions = Self.vision(rows: rows, columns: columns, merge: vision.spatialMergeSize)
        var rope = Rope(rows: positions.count, columns: 4 * frequencies.count)
        rope.fill { patch, element in
            let (row, column) = positions[patch]
            return element < frequencies.count
                ? Float(row) * frequencies[element] : Float(column) * frequencies[element - frequencies.count]
        }
        return rope
    }

    /// M-RoPE ids for tokens that follow position start - 1, and the next position.
    ///
    /// Text goes up by one on all axes; whatever follows a block of image tokens starts at the largest id so far plus
    /// one. The next position is where the next call starts.
    ///
    /// - Parameters:
    ///   - grids: of the images and videos in order of appearance; each takes t*h*w/merge^2 pad tokens.
    ///   - merge: the vision encoder's spatialMergeSize.
    /// - Throws: ``PocketVLError/prompt(_:)`` where placeholders and grids do not match.
    public static func mrope(
        _ tokenIDs: [Int], grids: [Grid], special: SpecialTokens, merge: Int, start: Int = 0
    ) throws(PocketVLError) -> (ids: PositionIDs, next: Int) {
        var ids = PositionIDs()
        ids.reserveCapacity(tokenIDs.count)
        var remaining = grids[...]
        var index = 0
        var position = start
        while index < tokenIDs.count {
            let pad = tokenIDs[index]
            guard pad == special.imagePad || pad == special.videoPad else {
                ids.append(position, position, position)
                index += 1
                position += 1
                continue
            }
            guard let grid = remaining.popFirst() else {
                throw .prompt(
                    "The prompt has more image placeholders than the \(grids.count) images given;"
                        + " give one image for each.")
            }
            let count = grid.tokens(merge: merge)
            guard count <= tokenIDs.count - index, count > 0,
                tokenIDs[index..<index + count].allSatisfy({ $0 == pad })
            else {
                throw .prompt(
                    "An image of \(grid) patches needs \(count) placeholder tokens in a row at token \(index), and the"
                        + " prompt has fewer; build it with PromptEncoder.")
            }
            let (rows, columns) = (grid.h / merge, grid.w / merge)
            for t in 0..<grid.t {
                for h in 0..<rows {
                    for w in 0..<columns { ids.append(position + t, position + h, position + w) }
                }
            }
            index += count
            position += max(grid.t, rows, columns)
        }
        if !remaining.isEmpty {
            throw .prompt(
                "The prompt has fewer image placeholders than the \(grids.count) images given;"
                    + " put each image into a message.")
        }
        return (ids, position)
    }

    /// cos and sin (S, headDim) for M-RoPE ids of S tokens.
    public static func textRope(_ ids: PositionIDs, _ text: TextGeometry) -> Rope {
        var rope = Rope(rows: ids.count, columns: text.headDim)
        TextRope(text).fill(&rope, ids)
        return rope
    }

    /// dim / 2 numbers theta^(-2i/dim). The power is taken in float64, so that every language gets these bits.
    fileprivate static func frequencies(theta: Double, dim: Int) -> [Float] {
        stride(from: 0, to: dim, by: 2).map { 1 / Float(pow(theta, Double(Float($0) / Float(dim)))) }
    }
}

/// ``Positions/textRope(_:_:)`` for many calls: the frequencies are computed once, and results go where the caller says.
struct TextRope: Sendable {
    private let frequencies: [Float]
    /// The axis whose id turns each frequency.
    private let axes: [Int]

    init(_ text: TextGeometry) {
        frequencies = Positions.frequencies(theta: text.ropeTheta, dim: text.headDim)
        axes = text.mropeSection.enumerated().flatMap { [Int](repeating: $0.offset, count: $0.element) }
    }

    /// Fills `rope`, which has as many rows as there are tokens.
    func fill(_ rope: inout Rope, _ ids: PositionIDs) {
        rope.fill { token, element in
            let id =
                switch axes[element] {
                case 0: ids.t[token]
                case 1: ids.h[token]
                default: ids.w[token]
                }
            return Float(id) * frequencies[element]
        }
    }
}

extension Rope {
    /// Zeros.
    init(rows: Int, columns: Int) {
        self.init(cos: Matrix(rows: rows, columns: columns), sin: Matrix(rows: rows, columns: columns))
    }

    /// The angles of each row in both halves of a head, since a head's first half is rotated against its second.
    ///
    /// Cosines and sines are computed in float64, so that every language gets these bits: where a graph rounds its
    /// inputs to 8 bits, one bit can change a token.
    fileprivate mutating func fill(_ angle: (Int, Int) -> Float) {
        let (rows, columns) = (cos.rows, cos.columns)
        let angles = columns / 2
        cos.withUnsafeMutableValues { cos in
            sin.withUnsafeMutableValues { sin in
                for row in 0..<rows {
                    for element in 0..<angles {
                        let turned = Double(angle(row, element))
                        let place = row * columns + element
                        cos[place] = Float(Foundation.cos(turned))
                        sin[place] = Float(Foundation.sin(turned))
                        cos[place + angles] = cos[place]
                        sin[place + angles] = sin[place]
                    }
                }
            }
        }
    }
}
