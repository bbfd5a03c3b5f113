#if canImport(AVFoundation) && canImport(UIKit)
    import AVFoundation
    import CoreImage
    import PocketVL

    /// The camera at the back, upright, some frames a second at most.
    public final class BackCamera: FrameCamera {
        public init() {}

        public func frames() -> AsyncThrowingStream<RgbImage, any Error> {
            AsyncThrowingStream(bufferingPolicy: .bufferingNewest(1)) { continuation in
                let capture = Capture(continuation)
                continuation.onTermination = { _ in capture.stop() }
                Task {
                    guard await AVCaptureDevice.requestAccess(for: .video) else {
                        continuation.finish(
                            throwing: PocketVLError.image(
                                "Without the permission the camera stays off. It can be given in the Settings app."))
                        return
                    }
                    capture.start()
                }
            }
        }
    }

    /// One run of the camera. Everything happens on its queue.
    private final class Capture: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate, @unchecked Sendable {
        private let continuation: AsyncThrowingStream<RgbImage, any Error>.Continuation
        private let session = AVCaptureSession()
        private let output = AVCaptureVideoDataOutput()
        private let queue = DispatchQueue(label: "pocketvl.camera")
        private let context = CIContext(options: [.cacheIntermediates: false])
        private var isStopped = false
        private var failure: (any NSObjectProtocol)?

        init(_ continuation: AsyncThrowingStream<RgbImage, any Error>.Continuation) {
            self.continuation = continuation
        }

        func start() {
            queue.async {
                if self.isStopped { return }
                do {
                    try self.configure()
                    self.session.startRunning()
                } catch {
                    self.continuation.finish(throwing: error)
                }
            }
        }

        func stop() {
            queue.async {
                self.isStopped = true
                if let failure = self.failure { NotificationCenter.default.removeObserver(failure) }
                if self.session.isRunning { self.session.stopRunning() }
            }
        }

        private func configure() throws {
            guard let camera = AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: .back) else {
                throw PocketVLError.image("This device has no camera at its back.")
            }
            let input: AVCaptureDeviceInput
            do {
                input = try AVCaptureDeviceInput(device: camera)
            } catch {
                throw PocketVLError.image("The camera cannot be opened (\(error.localizedDescription)).")
            }
            session.beginConfiguration()
            defer { session.commitConfiguration() }
            session.sessionPreset = .vga640x480
            output.alwaysDiscardsLateVideoFrames = true
            output.videoSettings = [kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA]
            output.setSampleBufferDelegate(self, queue: queue)
            guard session.canAddInput(input), session.canAddOutput(output) else {
                throw PocketVLError.image("The camera is used by another app; close that first.")
            }
            session.addInput(input)
            session.addOutput(output)
            if let connection = output.connection(with: .video), connection.isVideoRotationAngleSupported(90) {
                connection.videoRotationAngle = 90  // the app is upright only
            }
            failure = NotificationCenter.default.addObserver(
                forName: .AVCaptureSessionRuntimeError, object: session, queue: nil
            ) { [continuation] _ in
                continuation.finish(throwing: PocketVLError.image("The camera has stopped; start it again."))
            }
        }

        func captureOutput(
            _ output: AVCaptureOutput, didOutput sample: CMSampleBuffer, from connection: AVCaptureConnection
        ) {
            guard !isStopped, let buffer = CMSampleBufferGetImageBuffer(sample) else { return }
            let image = CIImage(cvPixelBuffer: buffer)
            guard let drawn = context.createCGImage(image, from: image.extent) else { return }
            if let frame = try? PhotoFile.rgb(drawn, "the camera's frame") { continuation.yield(frame) }
        }
    }
#endif
