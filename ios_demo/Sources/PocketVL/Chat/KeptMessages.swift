extension [Message] {
    /// The same messages for a history: of images the embeddings, which are held anyway, and no pixels; of videos
    /// nothing. So an app can give a part of the history back as messages, and its images are not encoded again.
    ///
    /// - Parameters:
    ///   - media: of all images and videos, in order.
    ///   - sizes: of the images as they were given.
    func kept(_ media: [Media], _ sizes: [PixelSize]) -> [Message] {
        var media = media[...]
        var sizes = sizes[...]
        return map { message in
            let parts = message.parts.map { part -> Part in
                switch part {
                case .image:
                    guard let one = media.popFirst(), let size = sizes.popFirst() else { return .image(nil) }
                    return .image(EncodedImage(one, sourceSize: size))
                case .video:
                    _ = media.popFirst()
                    return .video(nil)
                case .text, .objectRef, .shape, .call: return part
                }
            }
            return Message(message.role, parts, toolCallID: message.toolCallID, goesOn: message.goesOn)
        }
    }
}
