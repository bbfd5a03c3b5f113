import Foundation

/// Every error that PocketVL throws on purpose. The message is a full sentence that a user can act on.
///
///     PocketVLError
///     ├── usage               an option, argument or state that cannot be meant
///     ├── bundle              the folder is not a sound bundle
///     │   └── manifest        its manifest.json is wrong
///     ├── image               an image cannot be used
///     │   └── video           a video, or a frame of it
///     ├── prompt              messages or template cannot be rendered
///     │   └── context         the prompt does not fit into the context
///     ├── conversation        a saved conversation cannot be read, or belongs to another bundle
///     └── engine              a native runtime refused an artifact or an input
///
/// Where the tree matters, ask ``isBundle``, ``isImage`` or ``isPrompt``, which hold for the cases below, too.
public enum PocketVLError: Error, Equatable, Sendable {
    case usage(String)
    case bundle(String)
    case manifest(String)
    case image(String)
    case video(String)
    case prompt(String)
    case context(String)
    case conversation(String)
    case engine(String)

    /// What was wrong with which file or value, and what to do.
    public var message: String {
        switch self {
        case .usage(let message), .bundle(let message), .manifest(let message), .image(let message),
            .video(let message), .prompt(let message), .context(let message), .conversation(let message),
            .engine(let message):
            return message
        }
    }

    /// Whether the bundle is at fault, be it by its manifest.
    public var isBundle: Bool {
        switch self {
        case .bundle, .manifest: return true
        default: return false
        }
    }

    /// Whether an image is at fault, be it a video's frame.
    public var isImage: Bool {
        switch self {
        case .image, .video: return true
        default: return false
        }
    }

    /// Whether the prompt is at fault, be it by its length.
    public var isPrompt: Bool {
        switch self {
        case .prompt, .context: return true
        default: return false
        }
    }
}

extension PocketVLError: LocalizedError {
    public var errorDescription: String? { message }
}

extension PocketVLError: CustomStringConvertible {
    public var description: String { message }
}

/// One kind of ``PocketVLError`` to be made of a message, for what may be at fault in several ways.
typealias ErrorKind = @Sendable (String) -> PocketVLError
