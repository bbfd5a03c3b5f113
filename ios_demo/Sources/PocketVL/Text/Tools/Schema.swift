/// JSON Schema, as far as it is checked.
///
/// What a small model most often gets wrong is checked: type, enum, properties, required, additionalProperties and
/// items. Other keywords (pattern, minimum, anyOf, ...) are shown to the model and left to the handler.
enum Schema {
    private static let maxDepth = 32
    private static let types = ["string", "integer", "number", "boolean", "array", "object", "null"]
    private static let inner = ["items", "additionalProperties"]

    /// Throws ``PocketVLError/usage(_:)`` unless the schema describes an object of named arguments.
    static func check(_ schema: JSONObject, _ place: String) throws(PocketVLError) {
        if schema["type"] != .string("object") {
            throw .usage(
                "\(place) must be a JSON schema of the type \"object\", not \(shown(.object(schema))).")
        }
        do {
            _ = try JSONText.write(.object(schema))
        } catch {
            throw .usage("\(place) cannot be written as JSON (\(error.message)).")
        }
        try check(.object(schema), place, depth: maxDepth)
    }

    /// What is wrong with the arguments for a schema that ``check(_:_:)`` took; nil if they fit.
    ///
    /// Arguments that the schema does not name are wrong unless it has additionalProperties: nobody reads them.
    static func misfit(_ arguments: JSONObject, _ parameters: JSONObject) -> String? {
        var schema = parameters
        if schema["additionalProperties"] == nil { schema["additionalProperties"] = .bool(false) }
        return misfit(.object(arguments), .object(schema), "")
    }

    /// JSON Schema's name for the type of a value.
    static func kind(_ value: JSON) -> String {
        switch value {
        case .null: "null"
        case .bool: "boolean"
        case .string: "string"
        case .integer, .largeInteger: "integer"
        case .double: "number"
        case .array: "array"
        case .object: "object"
        }
    }

    /// Of one schema and those in it; true and false are schemas, too.
    private static func check(_ value: JSON, _ place: String, depth: Int) throws(PocketVLError) {
        if value.asBool != nil { return }
        guard let schema = value.asObject else {
            throw .usage("\(place) must be a JSON schema, not \(shown(value)).")
        }
        if depth == 0 { throw .usage("\(place) are nested deeper than \(maxDepth) levels.") }
        for kind in kinds(schema) where !types.contains(where: { kind == .string($0) }) {
            throw .usage(
                "\(place) have the unknown type \(shown(kind)); known are \(types.joined(separator: ", ")).")
        }
        guard let properties = (schema["properties"] ?? .object(JSONObject())).asObject else {
            throw .usage("\(place) must have an object as 'properties'.")
        }
        let required = (schema["required"] ?? .array([])).asArray
        let isNamed = required?.allSatisfy { $0.asString.map { properties[$0] != nil } ?? false } ?? false
        if !isNamed { throw .usage("\(place) must have a list of names out of 'properties' as 'required'.") }
        if (schema["enum"] ?? .array([])).asArray == nil {
            throw .usage("\(place) must have a list as 'enum'.")
        }
        let parts =
            properties.members.map { ($0.key, $0.value) }
            + inner.compactMap { key in
                schema[key].map { (key, $0) }
            }
        for (key, part) in parts {
            try check(part, depth == maxDepth ? "\(place) at \(key)" : "\(place).\(key)", depth: depth - 1)
        }
    }

    private static func kinds(_ schema: JSONObject) -> [JSON] {
        guard let wanted = schema["type"] else { return [] }
        return wanted.asArray ?? [wanted]
    }

    private static func misfit(_ value: JSON, _ schema: JSON?, _ place: String) -> String? {
        guard let schema = schema?.asObject else {
            return schema == .bool(false) ? "\(place) is not allowed" : nil
        }
        let kinds = kinds(schema)
        if !kinds.isEmpty && !kinds.contains(where: { isOf(value, $0) }) {
            let wanted = kinds.map { $0.asString ?? "" }.joined(separator: " or ")
            return "\(place) must be \(wanted), not \(kind(value))"
        }
        if let choices = schema["enum"]?.asArray, !choices.contains(where: { isEqual(value, $0) }) {
            return "\(place) must be one of \((try? JSONText.write(.array(choices))) ?? "those")"
        }
        switch value {
        case .object(let object): return misfit(object, in: schema, place)
        case .array(let values):
            for (index, each) in values.enumerated() {
                if let reason = misfit(each, schema["items"], "\(place)[\(index)]") { return reason }
            }
            return nil
        default: return nil
        }
    }

    private static func misfit(_ value: JSONObject, in schema: JSONObject, _ place: String) -> String? {
        let properties = schema["properties"]?.asObject ?? JSONObject()
        let others = schema["additionalProperties"] ?? .bool(true)
        let missing = (schema["required"]?.asArray ?? []).compactMap(\.asString).first { value[$0] == nil }
        if let missing { return "\(path(place, missing)) is missing" }
        for member in value.members {
            let known = properties[member.key]
            if known == nil && others == .bool(false) {
                let names = properties.members.map(\.key).joined(separator: ", ")
                return "\(path(place, member.key)) is unknown; known are \(names.isEmpty ? "none" : names)"
            }
            if let reason = misfit(member.value, known ?? others, path(place, member.key)) { return reason }
        }
        return nil
    }

    private static func isOf(_ value: JSON, _ wanted: JSON) -> Bool {
        let wanted = wanted.asString ?? ""
        switch value {
        case .integer, .largeInteger: return wanted == "integer" || wanted == "number"
        // 3.0 is an integer to JSON Schema.
        case .double(let double): return wanted == "number" || (wanted == "integer" && double == double.rounded())
        default: return kind(value) == wanted
        }
    }

    /// In value and kind: 1 is not 1.0, and not true; the order of an object's members does not matter.
    private static func isEqual(_ value: JSON, _ choice: JSON) -> Bool {
        switch (value, choice) {
        case (.array(let left), .array(let right)):
            return left.count == right.count && zip(left, right).allSatisfy { isEqual($0, $1) }
        case (.object(let left), .object(let right)):
            return left.members.count == right.members.count
                && left.members.allSatisfy { member in right[member.key].map { isEqual(member.value, $0) } ?? false }
        case (.string(let left), .string(let right)): return left.isExactly(right)
        default: return value == choice
        }
    }

    private static func path(_ place: String, _ key: String) -> String { place.isEmpty ? key : "\(place).\(key)" }

    private static func shown(_ value: JSON) -> String {
        if case .string(let text) = value { return text.quoted }
        return (value.written() ?? "a number that JSON has not").shortened(to: 60)
    }
}
