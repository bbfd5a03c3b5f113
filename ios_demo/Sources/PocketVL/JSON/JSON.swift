/// A text that is not JSON; `offset` counts bytes of UTF-8 from 0.
public struct JSONError: Error, Equatable, Sendable {
    public let message: String
    public let offset: Int
}

/// JSON as values.
///
/// Stricter than most readers, since what is read decides what native code gets: a key that is there twice, NaN,
/// infinities, control characters in strings, halves of surrogate pairs and bytes that are no UTF-8 are refused, as is
/// nesting deeper than ``maxDepth``. See RFC 8259.
public enum JSON: Equatable, Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    /// An integer outside of `Int64`, as it is written.
    case largeInteger(String)
    case double(Double)
    case string(String)
    case array([JSON])
    case object(JSONObject)

    public static let maxDepth = 64

    public static func parse(_ text: String) throws(JSONError) -> JSON { try parse(bytes: Array(text.utf8)) }

    /// The bytes of a file in UTF-8.
    public static func parse(bytes: [UInt8]) throws(JSONError) -> JSON {
        var reader = JSONReader(bytes)
        return try reader.document()
    }

    /// One line, keys in the order of the object; nil where a double is not finite, which JSON cannot write.
    public func written() -> String? {
        var writer = JSONWriter()
        return writer.write(self) ? writer.text : nil
    }

    // The value where it is of that kind, nil where not.

    public var asObject: JSONObject? { if case .object(let value) = self { value } else { nil } }
    public var asArray: [JSON]? { if case .array(let value) = self { value } else { nil } }
    public var asString: String? { if case .string(let value) = self { value } else { nil } }
    public var asBool: Bool? { if case .bool(let value) = self { value } else { nil } }
    public var asInteger: Int? { if case .integer(let value) = self { Int(exactly: value) } else { nil } }

    /// An integer counts, too; one beyond any double is infinity.
    public var asDouble: Double? {
        switch self {
        case .double(let value): value
        case .integer(let value): Double(value)
        case .largeInteger(let digits): Double(digits)  // maybe infinity
        default: nil
        }
    }

    /// The kind in messages, by Python's names.
    var kind: String {
        switch self {
        case .null: "null"
        case .bool: "bool"
        case .integer, .largeInteger: "int"
        case .double: "float"
        case .string: "str"
        case .array: "list"
        case .object: "dict"
        }
    }
}

/// Members of an object in the order of the text; keys are compared byte for byte.
public struct JSONObject: Equatable, Sendable {
    public struct Member: Equatable, Sendable {
        public let key: String
        public let value: JSON

        public static func == (left: Member, right: Member) -> Bool {
            left.key.isExactly(right.key) && left.value == right.value
        }
    }

    public private(set) var members: [Member] = []
    private var places: [Exact: Int] = [:]

    public init() {}

    /// A later member of the same key replaces an earlier one.
    public init(_ members: [(String, JSON)]) {
        for (key, value) in members { self[key] = value }
    }

    public subscript(key: String) -> JSON? {
        get { places[Exact(key)].map { members[$0].value } }
        set {
            let exact = Exact(key)
            if let place = places[exact] {
                if let newValue {
                    members[place] = Member(key: key, value: newValue)
                } else {
                    members.remove(at: place)
                    places = [:]
                    for (index, member) in members.enumerated() { places[Exact(member.key)] = index }
                }
            } else if let newValue {
                places[exact] = members.count
                members.append(Member(key: key, value: newValue))
            }
        }
    }

    public static func == (left: JSONObject, right: JSONObject) -> Bool { left.members == right.members }
}
