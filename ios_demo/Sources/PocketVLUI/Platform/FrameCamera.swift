import PocketVL

/// The device's camera, for live answers.
public protocol FrameCamera: Sendable {
    /// Upright frames, of which a slow reader gets the newest one whenever it asks: frames in between are dropped, not
    /// kept. The camera runs until the stream is dropped. Ends with ``PocketVL/PocketVLError/image(_:)``: no permission,
    /// no camera, taken by another app, or broken.
    func frames() -> AsyncThrowingStream<RgbImage, any Error>
}
