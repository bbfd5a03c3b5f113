import Foundation

/// Image embeddings kept by content, so that no image is encoded twice. For any thread.
///
/// Least recently used images go first once `maxBytes` of embeddings are held.
final class ImageCache: @unchecked Sendable {
    private let maxBytes: Int
    // Guarded by the lock.
    private let lock = NSLock()
    private var entries: [String: (media: Media, used: Int)] = [:]
    private var bytes = 0
    private var uses = 0

    init(maxBytes: Int) { self.maxBytes = maxBytes }

    subscript(key: String) -> Media? {
        lock.withLock {
            guard let entry = entries[key] else { return nil }
            uses += 1
            entries[key] = (entry.media, uses)
            return entry.media
        }
    }

    /// The newest entry stays even where it alone is larger than maxBytes.
    func put(_ key: String, _ media: Media) {
        lock.withLock {
            uses += 1
            bytes += Self.bytes(media) - (entries[key].map { Self.bytes($0.media) } ?? 0)
            entries[key] = (media, uses)
            while bytes > maxBytes, entries.count > 1,
                let oldest = entries.min(by: { $0.value.used < $1.value.used })
            {
                bytes -= Self.bytes(oldest.value.media)
                entries[oldest.key] = nil
            }
        }
    }

    func clear() {
        lock.withLock {
            entries = [:]
            bytes = 0
        }
    }

    private static func bytes(_ media: Media) -> Int { media.embeddings.values.count * MemoryLayout<Float>.size }
}
