/// What a model wrote as a tool's arguments, read.
enum ToolArguments {
    /// A call as it was written; what is wrong with it becomes a reason, never an error.
    static func call(id: String, name: String, raw: String, _ tools: ToolSet) -> ToolCall {
        func invalid(_ reason: String) -> ToolCall {
            ToolCall(id: id, name: name, arguments: .invalid(reason: reason), raw: raw)
        }
        guard let tool = tools[name] else {
            return invalid("There is no tool '\(name)'; known are \(tools.names.joined(separator: ", ")).")
        }
        let arguments: JSONObject
        do {
            arguments = try parse(raw)
        } catch {
            return invalid("The arguments of \(name) must be a JSON object: \(error.message).")
        }
        if let reason = Schema.misfit(arguments, tool.parameters) {
            return invalid("The arguments of \(name) do not fit: \(reason).")
        }
        return ToolCall(id: id, name: name, arguments: .fitting(arguments), raw: raw)
    }

    /// The JSON object with which `raw` begins; nothing at all is an object without keys.
    ///
    /// What comes after it is left out, as this family at times adds a comment.
    static func parse(_ raw: String) throws(JSONError) -> JSONObject {
        let text = raw.unicodeScalars.trimmed()
        if text.isEmpty { return JSONObject() }
        var reader = JSONReader(Array(String(text).utf8))
        let value = try reader.value()
        guard let object = value.asObject else {
            throw JSONError(message: "this is \(Schema.kind(value))", offset: 0)
        }
        return object
    }
}

extension BidirectionalCollection where Element == Unicode.Scalar {
    /// Without space at both ends.
    func trimmed() -> SubSequence {
        let start = firstIndex { !$0.isSpace } ?? endIndex
        let end = lastIndex { !$0.isSpace }.map { index(after: $0) } ?? start
        return self[start..<Swift.max(start, end)]
    }
}

extension String {
    init(_ scalars: some Sequence<Unicode.Scalar>) {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        self.init(view)
    }
}
