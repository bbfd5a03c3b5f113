/// A box (two corners) or a quad (four) that a message names: where something is in an image, in Qwen2-VL's own markup.
///
/// The model counts in thousandths of the image's width and height (Wang et al. 2024, arXiv:2409.12191, section 2.1):
/// <|box_start|>(x1,y1),(x2,y2)<|box_end|>. Pixels are those of the image as it was given, upright.
public struct Shape: Sendable, Equatable {
    public enum Kind: String, Sendable {
        case box, quad

        var numbers: Int { self == .box ? 4 : 8 }
    }

    /// What a coordinate counts.
    public enum Unit: Sendable, Equatable {
        case thousandths
        /// Of the image of that number in the conversation, from 0; nil is the last image before the shape.
        case pixels(image: Int?)
    }

    static let thousand = 1000

    public let kind: Kind
    /// x1, y1, x2, y2, ...
    public let numbers: [Double]
    public let unit: Unit

    /// Throws ``PocketVLError/prompt(_:)`` for numbers that are no such shape.
    public init(_ kind: Kind, _ numbers: [Double], unit: Unit = .thousandths) throws(PocketVLError) {
        if numbers.count != kind.numbers {
            throw .prompt(
                "A \(kind.rawValue) has \(kind.numbers) numbers x1, y1, x2, y2, ..., not \(numbers.count).")
        }
        let most = unit == .thousandths ? Double(Self.thousand) : .greatestFiniteMagnitude
        if let odd = numbers.first(where: { !($0 >= 0 && $0 <= most) }) {
            throw .prompt(
                "A \(kind.rawValue) holds \(odd), but coordinates lie in 0..\(Self.thousand) of the image, or in the"
                    + " image as pixels.")
        }
        if kind == .box && !(numbers[0] < numbers[2] && numbers[1] < numbers[3]) {
            throw .prompt("A box encloses nothing; give the upper left corner, then the lower right.")
        }
        if case .pixels(.some(let image)) = unit, image < 0 {
            throw .prompt("A shape names its image by a number from 0, not by \(image).")
        }
        self.init(unchecked: kind, numbers, unit)
    }

    private init(unchecked kind: Kind, _ numbers: [Double], _ unit: Unit) {
        self.kind = kind
        self.numbers = numbers
        self.unit = unit
    }

    /// The shape in thousandths. `sizes` are those of all images before the shape, or of all there are if it names one.
    ///
    /// Throws ``PocketVLError/prompt(_:)`` where there is no such image, or the shape lies outside of it.
    func inThousandths(_ sizes: [PixelSize]) throws(PocketVLError) -> Shape {
        guard case .pixels(let image) = unit else { return self }
        let number = image ?? sizes.count - 1
        guard sizes.indices.contains(number) else {
            throw .prompt(
                "A \(kind.rawValue) in pixels refers to image \(max(number, 0)), but there are \(sizes.count) images"
                    + " (counted from 0); put it after its image, or give thousandths.")
        }
        let sides = [sizes[number].width, sizes[number].height]
        if numbers.enumerated().contains(where: { $1 > Double(sides[$0 % 2]) }) {
            throw .prompt(
                "The \(kind.rawValue) \(numbers) lies outside of image \(number), which has \(sizes[number]) pixels.")
        }
        // Of a thin box, rounding may leave a line.
        let rounded = numbers.enumerated().map { Double(Self.thousandths($1, of: sides[$0 % 2])) }
        return Shape(unchecked: kind, rounded, .thousandths)
    }

    /// The numbers as the model writes them: (x1,y1),(x2,y2), whole thousandths.
    var markup: String {
        let whole = numbers.map { Self.thousandths($0, of: Self.thousand) }
        return stride(from: 0, to: whole.count, by: 2).map { "(\(whole[$0]),\(whole[$0 + 1]))" }.joined(separator: ",")
    }

    /// A pixel coordinate, not negative, along a side of `side` pixels; halves are rounded up.
    static func thousandths(_ value: Double, of side: Int) -> Int {
        let exact = (value * Double(thousand) / Double(side) + 0.5).rounded(.down)
        return exact < Double(thousand) ? Int(exact) : thousand
    }

    /// The inverse, without rounding.
    static func pixels(_ value: Double, of side: Int) -> Double { value * Double(side) / Double(thousand) }
}
