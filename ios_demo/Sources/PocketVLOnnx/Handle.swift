/// An object of onnxruntime, released with the last reference to it.
final class Handle {
    typealias Release = @convention(c) (OpaquePointer?) -> Void

    let pointer: OpaquePointer
    private let release: Release

    init(_ pointer: OpaquePointer, _ release: @escaping Release) {
        self.pointer = pointer
        self.release = release
    }

    deinit { release(pointer) }
}
