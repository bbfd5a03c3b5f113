/// A box of an answer, in pixels of the image as it was given, upright.
public struct Box: Sendable, Equatable {
    /// What the answer calls it, maybe nothing.
    public let label: String
    /// The image's number in the conversation, from 0. The model names none: it is the last one.
    public let image: Int
    public let x1: Double
    public let y1: Double
    public let x2: Double
    public let y2: Double

    public init(label: String, image: Int, x1: Double, y1: Double, x2: Double, y2: Double) {
        self.label = label
        self.image = image
        self.x1 = x1
        self.y1 = y1
        self.x2 = x2
        self.y2 = y2
    }
}

/// A point in pixels.
public struct Point: Sendable, Equatable {
    public let x: Double
    public let y: Double
}

/// Four corners that an answer names, in the order in which it does; else like ``Box``.
public struct Quad: Sendable, Equatable {
    public let label: String
    public let image: Int
    public let corners: [Point]
}

/// x1, y1, x2, y2 of a box, or x1, y1, ..., x4, y4 of a quad, in thousandths of an image.
struct FoundShape: Sendable, Equatable {
    let label: String
    let corners: [Double]

    /// `sizes`: of the conversation's images. Without an image a box means nothing.
    static func boxes(_ found: [FoundShape], in sizes: [PixelSize]) -> [Box] {
        placed(found, sizes) { label, image, points in
            Box(label: label, image: image, x1: points[0].x, y1: points[0].y, x2: points[1].x, y2: points[1].y)
        }
    }

    /// As `boxes`.
    static func quads(_ found: [FoundShape], in sizes: [PixelSize]) -> [Quad] {
        placed(found, sizes) { Quad(label: $0, image: $1, corners: $2) }
    }

    private static func placed<Placed>(
        _ found: [FoundShape], _ sizes: [PixelSize], _ make: (String, Int, [Point]) -> Placed
    ) -> [Placed] {
        guard let size = sizes.last else { return [] }
        return found.map { shape in
            let points = stride(from: 0, to: shape.corners.count, by: 2).map {
                Point(
                    x: Shape.pixels(shape.corners[$0], of: size.width),
                    y: Shape.pixels(shape.corners[$0 + 1], of: size.height))
            }
            return make(shape.label, sizes.count - 1, points)
        }
    }

    /// Of "(x1,y1),(x2,y2)"; nil for anything else, and for a box that encloses nothing.
    static func box(_ text: [Unicode.Scalar]) -> [Double]? {
        var scanner = CornerScanner(text)
        guard let corners = scanner.corners(from: 0, count: 2), scanner.isAtEnd, isBox(corners) else { return nil }
        return corners
    }

    /// Of "(x1,y1),(x2,y2),(x3,y3),(x4,y4)"; nil for anything else.
    static func quad(_ text: [Unicode.Scalar]) -> [Double]? {
        var scanner = CornerScanner(text)
        guard let corners = scanner.corners(from: 0, count: 4), scanner.isAtEnd,
            corners.allSatisfy({ $0 <= Double(Shape.thousand) })
        else { return nil }
        return corners
    }

    /// Boxes that an answer writes without marking them, as small models do; without labels.
    static func plainBoxes(_ text: String) -> [FoundShape] {
        let scalars = Array(text.unicodeScalars)
        var scanner = CornerScanner(scalars)
        var found: [FoundShape] = []
        var at = 0
        while at < scalars.count {
            guard scalars[at] == "(", let corners = scanner.corners(from: at, count: 2) else {
                at += 1
                continue
            }
            if isBox(corners) { found.append(FoundShape(label: "", corners: corners)) }
            at = scanner.end
        }
        return found
    }

    private static func isBox(_ corners: [Double]) -> Bool {
        let most = Double(Shape.thousand)
        return corners[0] < corners[2] && corners[2] <= most && corners[1] < corners[3] && corners[3] <= most
    }
}

/// Text piece by piece as tokens arrive. The markup's tokens become spaces where words would touch.
///
/// A box takes the label of the object named right before it, or before other boxes of the same object.
struct AnswerText: Sendable {
    private struct Mark {
        let name: String
        let opens: Bool
    }

    /// All of it so far.
    private(set) var text = ""
    /// The marked ones said so far.
    private(set) var quads: [FoundShape] = []
    private var markedBoxes: [FoundShape] = []
    private var stream: StreamDecoder
    private let marks: [Int: Mark]
    private var inside = ""  // of which markup; empty for none
    private var held: [Unicode.Scalar] = []  // what was said there
    private var label = ""
    private var touches = false  // whether a mark came after the last text

    init(_ tokenizer: Tokenizer) {
        stream = tokenizer.stream()
        var marks: [Int: Mark] = [:]
        for name in ["object_ref", "box", "quad"] {
            if let id = tokenizer.tokenID("<|\(name)_start|>") { marks[id] = Mark(name: name, opens: true) }
            if let id = tokenizer.tokenID("<|\(name)_end|>") { marks[id] = Mark(name: name, opens: false) }
        }
        self.marks = marks
    }

    /// The text that this token completes, maybe none.
    mutating func push(_ token: Int) -> String {
        let piece = stream.push(token)
        if let mark = marks[token] { onMark(mark) }
        return add(piece)
    }

    /// What was held back.
    mutating func finish() -> String { add(stream.finish()) }

    /// Those said so far: the marked ones, or those that look like one if none is marked.
    var boxes: [FoundShape] { markedBoxes.isEmpty ? FoundShape.plainBoxes(text) : markedBoxes }

    private mutating func onMark(_ mark: Mark) {
        if !mark.opens && mark.name == inside {
            let said = trimmed(held)
            switch inside {
            case "object_ref":
                label = String(String.UnicodeScalarView(said))
            case "box":
                if let corners = FoundShape.box(said) {
                    markedBoxes.append(FoundShape(label: label, corners: corners))
                }
            default:
                if let corners = FoundShape.quad(said) { quads.append(FoundShape(label: label, corners: corners)) }
            }
        }
        inside = mark.opens ? mark.name : ""
        held = []
        touches = true
    }

    private mutating func add(_ piece: String) -> String {
        guard let first = piece.unicodeScalars.first else { return "" }
        if !inside.isEmpty {
            held += piece.unicodeScalars
        } else if piece.unicodeScalars.contains(where: \.isAlphanumeric) {
            label = ""  // another sentence
        }
        let spaced = touches && Self.needsSpace(text.unicodeScalars.last, first) ? " " + piece : piece
        touches = false
        text += spaced
        return spaced
    }

    /// Whether a space belongs between two characters that a mark parted; `before` is nil at the start.
    static func needsSpace(_ before: Unicode.Scalar?, _ after: Unicode.Scalar) -> Bool {
        guard let before, !before.isSpace, !after.isSpace else { return false }
        return !"([{".unicodeScalars.contains(before) && !".,;:!?)]}".unicodeScalars.contains(after)
    }

    private func trimmed(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        Array(text.drop { $0.isSpace }.reversed().drop { $0.isSpace }.reversed())
    }
}
