import Foundation

/// An opened video: ``FrameList``, or the app's own over AVAssetReader or AVAssetImageGenerator.
///
/// Nothing of it needs to be in memory but what ``info`` says.
public protocol FrameSource: Sendable {
    /// Number, size and times of the frames.
    var info: VideoInfo { get }

    /// Sentences about what was not read by the letter, complete after the frames were read.
    var notes: [String] { get }

    /// The frames of those ascending indices (one may be there twice), one after the other.
    ///
    /// One frame is decoded at a time. What a reader holds it frees when it is dropped.
    func read(_ indices: [Int], for size: PixelSize) throws -> any FrameReader
}

/// Frames of a video, one after the other.
public protocol FrameReader: AnyObject {
    /// The next frame, upright RGB, of the wanted size or larger; the pipeline resizes what has another size. nil where
    /// there are no more. Whatever is thrown that is no ``PocketVLError`` becomes one that names the video.
    func next() throws -> RgbImage?
}

/// Frames that are images, all of the first one's size.
public struct FrameList: FrameSource {
    public let info: VideoInfo
    public let notes: [String] = []
    private let frames: [any ImageSource]

    /// Throws ``PocketVLError/video(_:)`` for none, and what the first image throws about its size.
    public init(_ frames: [any ImageSource], name: String = "The list of frames") throws(PocketVLError) {
        guard let first = frames.first else { throw .video("\(name) is empty; give at least one.") }
        let size = try damageNamed(first.name) { try first.readSize() }
        self.frames = frames
        info = VideoInfo(name: name, frames: frames.count, size: size)
    }

    public func read(_ indices: [Int], for size: PixelSize) -> any FrameReader {
        Reader(frames: indices.map { (index: $0, frame: frames[$0]) }, first: info.size, size: size)
    }

    private final class Reader: FrameReader {
        private var frames: ArraySlice<(index: Int, frame: any ImageSource)>
        private let first: PixelSize
        private let size: PixelSize

        init(frames: [(index: Int, frame: any ImageSource)], first: PixelSize, size: PixelSize) {
            self.frames = frames[...]
            self.first = first
            self.size = size
        }

        func next() throws -> RgbImage? {
            guard let (index, frame) = frames.popFirst() else { return nil }
            let given = try frame.readSize()
            if given != first {
                throw PocketVLError.video(
                    "Frame \(index) (\(frame.name)) has \(given) pixels, but the first \(first);"
                        + " give frames of one size.")
            }
            return try frame.read(for: size).image
        }
    }
}

/// The frames of one slice of a video after the other, at the plan's size.
struct SliceReader {
    private let name: String
    private let plan: VideoPlan
    private let depth: Int
    private let reader: any FrameReader
    private var taken = 0

    /// `depth`: frames of a slice. Throws ``PocketVLError/video(_:)``, as ``next()`` does.
    init(_ source: any FrameSource, _ plan: VideoPlan, depth: Int) throws(PocketVLError) {
        name = source.info.name
        self.plan = plan
        self.depth = depth
        reader = try videoNamed(name) { try source.read(plan.indices, for: plan.size) }
    }

    mutating func next() throws(PocketVLError) -> [RgbImage] {
        var frames: [RgbImage] = []
        for _ in 0..<depth {
            guard let frame = try videoNamed(name, { try reader.next() }) else {
                throw .video(
                    "\(name) gave \(taken) of the \(plan.indices.count) frames that were wanted of it; it is damaged or"
                        + " cut off: copy it again.")
            }
            taken += 1
            frames.append(frame.size == plan.size ? frame : try Bicubic.resize(frame, to: plan.size))
        }
        return frames
    }
}

/// Whatever a decoder throws becomes a ``PocketVLError/video(_:)`` that names the video.
private func videoNamed<Value>(_ name: String, _ read: () throws -> Value) throws(PocketVLError) -> Value {
    do {
        return try read()
    } catch let error as PocketVLError {
        throw error
    } catch {
        throw .video(
            "\(name) cannot be read as a video (\(error.localizedDescription)); is it one, and whole? Copy it again or"
                + " save it as MP4.")
    }
}
