/// An object of a JSON file, read key by key, refusing unknown keys, missing keys and wrong types.
///
/// Every refusal is a ``PocketVLError/manifest(_:)`` that names the place, such as manifest.json.image.mean[1].
struct StrictObject {
    /// The place of this object in messages.
    let place: String
    private let members: JSONObject

    /// `optional` keys may be missing, all others of `known` must be there.
    init(_ value: JSON, _ place: String, known: [String], optional: [String] = []) throws(PocketVLError) {
        guard let members = value.asObject else {
            throw .manifest("\(place) must be an object, not \(value.kind).")
        }
        let unknown = members.members.map(\.key).filter { key in !known.contains(where: key.isExactly) }
        if let first = unknown.map(Exact.init).min() {
            throw .manifest(
                "\(place) has the unknown key \(first.text.quoted); known are \(known.joined(separator: ", ")).")
        }
        for key in known where members[key] == nil && !optional.contains(key) {
            throw .manifest("\(place) lacks the key \(key.quoted).")
        }
        self.place = place
        self.members = members
    }

    func value(_ key: String) -> JSON { members[key] ?? .null }

    func place(of key: String) -> String { "\(place).\(key)" }

    func string(_ key: String) throws(PocketVLError) -> String { try Strict.string(value(key), place(of: key)) }

    func int(_ key: String) throws(PocketVLError) -> Int { try Strict.int(value(key), place(of: key)) }

    func double(_ key: String) throws(PocketVLError) -> Double { try Strict.double(value(key), place(of: key)) }

    func bool(_ key: String) throws(PocketVLError) -> Bool {
        guard let bool = value(key).asBool else { throw Strict.mismatch("bool", value(key), place(of: key)) }
        return bool
    }

    func optionalString(_ key: String) throws(PocketVLError) -> String? {
        value(key) == .null ? nil : try string(key)
    }

    func optionalInt(_ key: String) throws(PocketVLError) -> Int? {
        value(key) == .null ? nil : try int(key)
    }

    /// A list, each item read by `read` with its place.
    func list<Item>(
        _ key: String, count: Int? = nil, _ read: (JSON, String) throws(PocketVLError) -> Item
    ) throws(PocketVLError) -> [Item] {
        let place = place(of: key)
        guard let items = value(key).asArray else {
            throw .manifest("\(place) must be a list, not \(value(key).kind).")
        }
        if let count, items.count != count {
            throw .manifest("\(place) must have \(count) items, not \(items.count).")
        }
        var found: [Item] = []
        for (index, item) in items.enumerated() { found.append(try read(item, "\(place)[\(index)]")) }
        return found
    }

    /// What `make` makes of the values; its ``Fault`` becomes a sentence about this object.
    func valid<Value>(_ make: () throws(Fault) -> Value) throws(PocketVLError) -> Value {
        do {
            return try make()
        } catch {
            throw .manifest("\(place) is not valid: \(error.message).")
        }
    }
}

/// Single values of a JSON file. Each throws ``PocketVLError/manifest(_:)``.
enum Strict {
    static func string(_ value: JSON, _ place: String) throws(PocketVLError) -> String {
        guard let string = value.asString else { throw mismatch("str", value, place) }
        return string
    }

    static func int(_ value: JSON, _ place: String) throws(PocketVLError) -> Int {
        switch value {
        case .integer, .largeInteger: break
        default: throw mismatch("int", value, place)
        }
        guard let integer = value.asInteger, integer > .min else {
            throw .manifest("\(place) must be an integer of at most 64 bits.")
        }
        return integer
    }

    static func double(_ value: JSON, _ place: String) throws(PocketVLError) -> Double {
        guard let double = value.asDouble else { throw mismatch("float", value, place) }
        if !double.isFinite { throw .manifest("\(place) must be a finite number.") }
        return double
    }

    static func mismatch(_ wanted: String, _ value: JSON, _ place: String) -> PocketVLError {
        .manifest("\(place) must be \(wanted), not \(value.kind).")
    }
}
