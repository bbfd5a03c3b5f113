/// What a tool gives back to the model.
public enum ToolResult: Sendable {
    case text(String)
    case image(any ImageSource)
    /// Is told to the model as JSON.
    case json(JSON)
}

/// A named function that a model may call.
public struct Tool: Sendable {
    /// What is done when a model calls the tool. Whatever it throws is told to the model.
    public typealias Handler = @Sendable (_ arguments: JSONObject) async throws -> ToolResult

    public let name: String
    public let description: String
    /// A JSON schema of the type object.
    public let parameters: JSONObject
    /// nil where the app answers calls itself.
    public let handler: Handler?

    /// A schema of no arguments.
    public static let noParameters = JSONObject([("type", .string("object")), ("properties", .object(JSONObject()))])

    /// Throws ``PocketVLError/usage(_:)`` for a name or schema that cannot be used.
    public init(
        _ name: String, description: String = "", parameters: JSONObject = noParameters, handler: Handler? = nil
    ) throws(PocketVLError) {
        if !Self.isToolName(name) {
            throw .usage(
                "A tool cannot have the name \(name.quoted); use 1 to 64 letters, digits, _ or -, as OpenAI's API does."
            )
        }
        try Schema.check(parameters, "The parameters of the tool \(name)")
        self.name = name
        self.description = description
        self.parameters = parameters
        self.handler = handler
    }

    /// What the handler returns. Throws what it throws, and ``PocketVLError/usage(_:)`` if there is none.
    public func call(_ arguments: JSONObject) async throws -> ToolResult {
        guard let handler else {
            throw PocketVLError.usage(
                "The tool \(name) was given as a schema, without a handler to call; give the handler.")
        }
        return try await handler(arguments)
    }

    private static func isToolName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }
}

extension Tool: Equatable {
    /// By what the model is told; handlers have no equality.
    public static func == (left: Tool, right: Tool) -> Bool {
        left.name == right.name && left.description.isExactly(right.description)
            && left.parameters == right.parameters
    }
}

/// A call that a model made.
public struct ToolCall: Sendable, Equatable {
    public enum Arguments: Sendable, Equatable {
        /// They fit the tool's schema.
        case fitting(JSONObject)
        /// The call cannot be made; the reason is a sentence for the model.
        case invalid(reason: String)
    }

    /// What the result's toolCallID must be.
    public let id: String
    /// As the model wrote it.
    public let name: String
    public let arguments: Arguments
    /// The arguments as the model wrote them.
    public let raw: String

    public init(id: String, name: String, arguments: Arguments, raw: String) {
        self.id = id
        self.name = name
        self.arguments = arguments
        self.raw = raw
    }
}

/// The tools of one conversation.
public struct ToolSet: Sendable, Equatable {
    public let tools: [Tool]
    /// Whether the model may make several calls at once.
    public let parallel: Bool

    public static let none = ToolSet()

    private init() {
        tools = []
        parallel = false
    }

    /// Throws ``PocketVLError/usage(_:)`` for a name that two have.
    public init(_ tools: [Tool], parallel: Bool = false) throws(PocketVLError) {
        var names = Set<String>()
        for tool in tools where !names.insert(tool.name).inserted {
            throw .usage("Two tools have the name \(tool.name.quoted); rename one of them.")
        }
        self.tools = tools
        self.parallel = parallel && !tools.isEmpty
    }

    public var isEmpty: Bool { tools.isEmpty }

    public var names: [String] { tools.map(\.name) }

    public subscript(name: String) -> Tool? { tools.first { $0.name.isExactly(name) } }
}
