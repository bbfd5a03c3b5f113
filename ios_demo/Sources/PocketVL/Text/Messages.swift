/// Who says a message.
public enum Role: String, Sendable, CaseIterable {
    case system, user, assistant
    /// The result of a tool's call.
    case tool
}

/// A piece of a message.
public enum Part: Sendable {
    /// What is said. Whatever it holds is text: no special token is read out of it.
    case text(String)
    /// The name of an object, between the tokens that mark it as one.
    case objectRef(String)
    case shape(Shape)
    /// The source is nil in a restored conversation, which keeps an image's embeddings and not the image.
    case image((any ImageSource)?, ImageSize = .asTheSession)
    /// The source is nil in a restored conversation.
    case video((any FrameSource)?, VideoOptions = .asTheRule)
    /// A call of a tool by the assistant.
    case call(ToolCall)

    /// Whether it becomes placeholder tokens.
    var isMedia: Bool {
        switch self {
        case .image, .video: true
        case .text, .objectRef, .shape, .call: false
        }
    }

    /// Whether both say the same; images and videos count as equal, which their keys decide.
    func says(_ other: Part) -> Bool {
        switch (self, other) {
        case (.text(let left), .text(let right)), (.objectRef(let left), .objectRef(let right)): left.isExactly(right)
        case (.shape(let left), .shape(let right)): left == right
        case (.call(let left), .call(let right)): left == right
        case (.image, .image), (.video, .video): true
        default: false
        }
    }
}

/// One message of a conversation.
public struct Message: Sendable {
    public let role: Role
    public let parts: [Part]
    /// Of the role tool: the call whose result it is; results without an id are in the order of the calls before them.
    public let toolCallID: String?
    /// Whether the assistant's turn goes on after it; only prompts hold such messages.
    let goesOn: Bool

    public init(_ role: Role, _ parts: [Part], toolCallID: String? = nil) {
        self.init(role, parts, toolCallID: toolCallID, goesOn: false)
    }

    public init(_ role: Role, _ text: String, toolCallID: String? = nil) {
        self.init(role, [.text(text)], toolCallID: toolCallID)
    }

    init(_ role: Role, _ parts: [Part], toolCallID: String? = nil, goesOn: Bool) {
        self.role = role
        self.parts = parts
        self.toolCallID = toolCallID
        self.goesOn = goesOn
    }

    /// Of tools, by the assistant.
    public var calls: [ToolCall] {
        parts.compactMap { if case .call(let call) = $0 { call } else { nil } }
    }

    /// Whether both say the same, their images left out.
    func says(_ other: Message) -> Bool {
        role == other.role && parts.count == other.parts.count && zip(parts, other.parts).allSatisfy { $0.says($1) }
    }
}

extension [Message] {
    /// The images and videos in order of appearance.
    var media: [Part] { flatMap(\.parts).filter(\.isMedia) }

    /// The messages with tools' results in the order of the calls that they answer, without their ids.
    ///
    /// Throws ``PocketVLError/prompt(_:)``, which names the message and what is wrong with it.
    func checked() throws(PocketVLError) -> [Message] {
        if isEmpty { throw .prompt("Messages must be a list with at least one message.") }
        var checked: [Message] = []
        var start = 0
        while start < count {
            try self[start].check("messages[\(start)]")
            if self[start].role != .tool {
                checked.append(self[start])
                start += 1
                continue
            }
            var end = start
            while end < count, self[end].role == .tool {
                try self[end].check("messages[\(end)]")
                end += 1
            }
            let results = [Message](self[start..<end])
            checked += try results.inOrder(of: checked.last?.calls ?? [], "messages[\(start)]")
            if end < count && self[end].role != .assistant {
                throw .prompt("messages[\(end)] must be the assistant's, which replies to the results.")
            }
            start = end
        }
        return checked
    }

    /// The results of all of these calls, and nothing else, in their order. Throws ``PocketVLError/prompt(_:)``.
    func checkedResults(of calls: [ToolCall]) throws(PocketVLError) -> [Message] {
        for (index, message) in enumerated() {
            if message.role != .tool {
                throw .prompt(
                    "messages[\(index)] is no tool's; results are given alone, the answer goes on after.")
            }
            try message.check("messages[\(index)]")
        }
        return try inOrder(of: calls, "messages[0]")
    }

    /// As ``checked()``, for a whole conversation that waits for an answer: system first or nowhere, last a user's turn
    /// or tools' results.
    @discardableResult
    func checkedConversation() throws(PocketVLError) -> [Message] {
        let checked = try checked()
        for (index, message) in checked.enumerated() where message.role == .system && index > 0 {
            throw .prompt("messages[\(index)] is a system message; there can be one, and it comes first.")
        }
        if let role = checked.last?.role, role != .user && role != .tool {
            throw .prompt(
                "The last message has the role \(role.rawValue); end with the user's, which is answered, or with a"
                    + " tool's result.")
        }
        return checked
    }

    /// The messages with their shapes in thousandths. `sizes` are those of the conversation's images, `earlier` of them
    /// before these messages. Throws ``PocketVLError/prompt(_:)`` for a shape that lies in no image.
    func withThousandths(_ sizes: [PixelSize], earlier: Int) throws(PocketVLError) -> [Message] {
        var seen = earlier
        var changed: [Message] = []
        for message in self {
            var parts: [Part] = []
            for part in message.parts {
                if case .image = part { seen += 1 }
                guard case .shape(let shape) = part else {
                    parts.append(part)
                    continue
                }
                let isNamed = if case .pixels(.some) = shape.unit { true } else { false }
                let known = isNamed ? sizes : Array<PixelSize>(sizes.prefix(Swift.max(0, seen)))
                parts.append(.shape(try shape.inThousandths(known)))
            }
            changed.append(Message(message.role, parts, goesOn: message.goesOn))
        }
        return changed
    }
}

extension Message {
    fileprivate func check(_ place: String) throws(PocketVLError) {
        if parts.isEmpty {
            throw .prompt(
                "The content of \(place) must be a list of parts, not an empty list; a part is a text or an image.")
        }
        if role != .assistant && !calls.isEmpty {
            throw .prompt("\(place) calls a tool, which only the assistant does.")
        }
        if role != .tool && toolCallID != nil {
            throw .prompt("\(place) gives a toolCallID, which only a tool's result has.")
        }
        var ids = Set<Exact>()
        for call in calls where !ids.insert(Exact(call.id)).inserted {
            throw .prompt("\(place) has the call id \(call.id.quoted) twice; each call needs one of its own.")
        }
    }
}
