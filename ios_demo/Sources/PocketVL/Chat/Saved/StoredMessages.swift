/// Messages as JSON in a saved conversation; of an image only that it is there:
///
///     {"role": "user", "parts": [{"type": "text", "text": "What?", "numbers": null, "call": null}, ...]}
///
/// text is that of a text or an object_ref, numbers those of a box or a quad in thousandths, call that of a tool_call.
enum StoredMessages {
    /// Throws ``PocketVLError/conversation(_:)`` for a part that cannot be saved.
    static func stored(_ message: Message) throws(PocketVLError) -> JSON {
        var parts: [JSON] = []
        for part in message.parts { parts.append(try stored(part)) }
        return .object(JSONObject([("role", .string(message.role.rawValue)), ("parts", .array(parts))]))
    }

    /// Its images have no source. Throws what ``misfit(_:)`` makes.
    static func message(_ value: JSON, _ place: String) throws(PocketVLError) -> Message {
        let object = try StrictObject(value, place, known: ["role", "parts"])
        let role = Role(rawValue: try object.string("role"))
        let parts = try object.list("parts", part)
        guard let role, !parts.isEmpty else {
            throw misfit("it has a message of no known role, or without content")
        }
        return Message(role, parts)
    }

    private static func stored(_ part: Part) throws(PocketVLError) -> JSON {
        switch part {
        case .text(let text): return stored("text", text: text)
        case .objectRef(let text): return stored("object_ref", text: text)
        case .shape(let shape):
            guard shape.unit == .thousandths else {
                throw .conversation("A message with a shape in pixels cannot be saved; leave it out.")
            }
            return stored(shape.kind.rawValue, numbers: shape.numbers)
        case .image: return stored("image")
        case .video: return stored("video")
        case .call(let call): return stored("tool_call", call: stored(call))
        }
    }

    private static func stored(
        _ type: String, text: String? = nil, numbers: [Double]? = nil, call: JSON? = nil
    ) -> JSON {
        .object(
            JSONObject([
                ("type", .string(type)), ("text", text.map(JSON.string) ?? .null),
                ("numbers", numbers.map { .array($0.map(JSON.double)) } ?? .null), ("call", call ?? .null),
            ]))
    }

    private static func part(_ value: JSON, _ place: String) throws(PocketVLError) -> Part {
        let object = try StrictObject(
            value, place, known: ["type", "text", "numbers", "call"], optional: ["text", "numbers", "call"])
        let type = try object.string("type")
        let text = try object.optionalString("text")
        let numbers = object.value("numbers") == .null ? nil : try object.list("numbers", Strict.double)
        let call = object.value("call") == .null ? nil : try call(object.value("call"), object.place(of: "call"))
        switch (type, text, numbers, call) {
        case ("image", nil, nil, nil): return .image(nil)
        case ("video", nil, nil, nil): return .video(nil)
        case ("text", let text?, nil, nil): return .text(text)
        case ("object_ref", let text?, nil, nil): return .objectRef(text)
        case ("tool_call", nil, nil, let call?): return .call(call)
        case ("box", nil, let numbers?, nil): return .shape(try Shape(.box, numbers))
        case ("quad", nil, let numbers?, nil): return .shape(try Shape(.quad, numbers))
        default: throw misfit("it has a part of the type \(type.shortened(to: 40).quoted) that is none")
        }
    }

    private static func stored(_ call: ToolCall) -> JSON {
        var arguments = JSON.null
        var reason = JSON.null
        switch call.arguments {
        case .fitting(let object): arguments = .string(JSON.object(object).written() ?? "{}")
        case .invalid(let why): reason = .string(why)
        }
        return .object(
            JSONObject([
                ("id", .string(call.id)), ("name", .string(call.name)), ("raw", .string(call.raw)),
                ("arguments", arguments), ("reason", reason),
            ]))
    }

    private static func call(_ value: JSON, _ place: String) throws(PocketVLError) -> ToolCall {
        let object = try StrictObject(
            value, place, known: ["id", "name", "raw", "arguments", "reason"], optional: ["arguments", "reason"])
        let id = try object.string("id")
        let reason = try object.optionalString("reason")
        var arguments = ToolCall.Arguments.invalid(reason: reason ?? "")
        if let json = try object.optionalString("arguments") {
            guard let members = (try? JSON.parse(json))?.asObject else {
                throw misfit("the call \(id.shortened(to: 40).quoted) has arguments that are no object")
            }
            arguments = .fitting(members)
        }
        return ToolCall(
            id: id, name: try object.string("name"), arguments: arguments, raw: try object.string("raw"))
    }
}
