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

    /// Whether it becomes placeholder tokens.
    var isMedia: Bool {
        switch self {
        case .image, .video: true
        case .text, .objectRef, .shape: false
        }
    }
}

/// One message of a conversation.
public struct Message: Sendable {
    public let role: Role
    public let parts: [Part]
    /// Whether the assistant's turn goes on after it; only prompts hold such messages.
    let goesOn: Bool

    public init(_ role: Role, _ parts: [Part]) { self.init(role, parts, goesOn: false) }

    public init(_ role: Role, _ text: String) { self.init(role, [.text(text)]) }

    init(_ role: Role, _ parts: [Part], goesOn: Bool) {
        self.role = role
        self.parts = parts
        self.goesOn = goesOn
    }
}

extension [Message] {
    /// The images and videos in order of appearance.
    var media: [Part] { flatMap(\.parts).filter(\.isMedia) }

    /// Throws ``PocketVLError/prompt(_:)`` unless it is a whole conversation that waits for an answer: system first or
    /// nowhere, last a user's turn or tools' results.
    func checkConversation() throws(PocketVLError) {
        guard let last else { throw .prompt("Messages must be a list with at least one message.") }
        for (index, message) in enumerated() {
            if message.parts.isEmpty {
                throw .prompt(
                    "The content of messages[\(index)] must be a list of parts, not an empty list; a part is a text or"
                        + " an image.")
            }
            if message.role == .system && index > 0 {
                throw .prompt(
                    "messages[\(index)] is a system message; there can be one, and it comes first.")
            }
        }
        if last.role != .user && last.role != .tool {
            throw .prompt(
                "The last message has the role \(last.role.rawValue); end with the user's, which is answered, or with a"
                    + " tool's result.")
        }
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
