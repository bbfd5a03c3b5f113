import Foundation

/// Qwen2-VL's chat template, written as code: there is no Jinja here.
///
///     <|im_start|>system
///     You are a helpful assistant.<|im_end|>                        if no system message comes first
///     <|im_start|>user
///     <|vision_start|><|image_pad|><|vision_end|>What is this?<|im_end|>
///     <|im_start|>assistant
///
/// A bundle's chat_template.jinja must be one of those that say this: the texts of Qwen2-VL's checkpoints and of the
/// project's tiny one are known by their SHA-256, a line break at the end apart. A template with other words would give
/// other prompts than the exporter checked, so it is refused.
public struct ChatTemplate: Sendable {
    private static let maxBytes = 1 << 18
    private static let defaultSystem = "You are a helpful assistant."

    private static let known = [
        // Qwen2-VL-2B-Instruct, 7B and 72B
        "a0bc6f6fc7a29a80017a433e8f03a1cc1236e838a944a2d034295a60c4f2fddb",
        // the tiny checkpoint of this project
        "4875909cccfeac1da2f9556eddf2f05e8e520179ce0a4a506af762776aa682d5",
    ]

    /// Throws ``PocketVLError/prompt(_:)`` for a template that is not known.
    public init(_ source: String) throws(PocketVLError) {
        var bytes = Array(source.utf8)
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        if !Self.known.contains(Digest.hex(of: bytes)) {
            throw .prompt(
                "The bundle's chat_template.jinja is not Qwen2-VL's, which is the only one that this runtime can write;"
                    + " export the bundle with the chat template of Qwen2-VL, or run it in Python.")
        }
    }

    /// The template in a file of a bundle. Throws ``PocketVLError/bundle(_:)`` and ``PocketVLError/prompt(_:)``.
    public init(_ file: URL) throws(PocketVLError) {
        let folder = file.deletingLastPathComponent()
        let bytes = try BundleFile.bytes(of: file.lastPathComponent, in: folder, most: Self.maxBytes)
        try self.init(String(decoding: bytes, as: UTF8.self))
    }

    /// Numbers the images and videos of one conversation: "Picture 1: " before the first image.
    struct Numbers {
        let isUsed: Bool
        private var images = 0
        private var videos = 0

        init(isUsed: Bool) { self.isUsed = isUsed }

        /// What is written before the part.
        mutating func next(_ part: Part) -> String {
            switch part {
            case .image:
                images += 1
                return isUsed ? "Picture \(images): " : ""
            case .video:
                videos += 1
                return isUsed ? "Video \(videos): " : ""
            case .text, .objectRef, .shape, .call: return ""
            }
        }
    }

    /// What comes before the first of the messages.
    func begin(_ messages: [Message], _ out: inout PromptWriter) throws(PocketVLError) {
        guard let first = messages.first, first.role != .system else { return }
        try open(.system, &out)
        out.text(Self.defaultSystem)
        try close(&out)
    }

    /// A whole turn; one that goes on is left open.
    func message(_ message: Message, _ numbers: inout Numbers, _ out: inout PromptWriter) throws(PocketVLError) {
        try open(message.role, &out)
        try content(message, &numbers, &out)
        if !message.goesOn { try close(&out) }
    }

    func open(_ role: Role, _ out: inout PromptWriter) throws(PocketVLError) {
        try out.token("<|im_start|>")
        out.text(role.rawValue + "\n")
    }

    func content(_ message: Message, _ numbers: inout Numbers, _ out: inout PromptWriter) throws(PocketVLError) {
        for part in message.parts {
            out.text(numbers.next(part))
            try out.part(part)
        }
    }

    func close(_ out: inout PromptWriter) throws(PocketVLError) {
        try out.token("<|im_end|>")
        out.text("\n")
    }
}
