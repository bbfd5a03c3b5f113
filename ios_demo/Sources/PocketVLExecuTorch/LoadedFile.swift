internal import CPocketVLExecuTorch
import Foundation
import PocketVL

/// One .pte file; a method is loaded when it first runs. Its methods have memory of their own, so lm_head leaves the
/// decoder's KV cache alone.
final class LoadedFile {
    private static let errorBytes = 1024  // what the compiler still puts on the stack

    private let file: URL
    private var program: OpaquePointer?

    /// Throws ``PocketVLError/engine(_:)`` for a file that ExecuTorch cannot load, ``PocketVLError/bundle(_:)`` where it
    /// lacks one of `methods` or says of itself (`constants`: method to value) what the manifest does not.
    init(
        _ file: URL, threads: Int?, methods: [String], constants: [String: Int] = [:]
    ) throws(PocketVLError) {
        self.file = file
        if let threads, let failure = Self.failure({ pv_set_threads(Int32(threads), $0, $1) }) {
            throw .engine(failure)
        }
        let refusal = Self.failure { error, size in
            program = pv_open(file.path, error, size)
            return program == nil ? Int32(PV_FAILED) : Int32(PV_OK)
        }
        if let refusal { throw unreadable(refusal) }
        try check(methods, constants)
    }

    deinit { pv_close(&program) }

    /// Runs a method and writes its output to the rows of `result` from `row` on.
    ///
    /// Returns what went wrong instead of throwing it, since it is called where inputs are pointers.
    func run(_ call: MethodCall, into result: inout Matrix, from row: Int = 0) -> PocketVLError? {
        let first = row * result.columns
        var type = pv_type()
        let failure = result.withUnsafeMutableValues { values in
            let part = UnsafeMutableBufferPointer(rebasing: values[first..<first + call.count])
            return Self.failure { error, size in
                pv_run(
                    program, call.name, call.inputs, Int32(call.inputs.count), &type, part.baseAddress,
                    call.count * MemoryLayout<Float>.size, error, size)
            }
        }
        if let failure {
            return .engine(
                "\(call.method) of \(file.path) failed in ExecuTorch (\(Self.clause(failure))); copy the whole bundle again"
                    + " or export it again.")
        }
        if !type.hasShape(of: call.output) {
            return .engine(
                "\(call.method) of \(file.path) gave float32 \(type.shape) instead of \(call.output.shape).")
        }
        return nil
    }

    /// Copies of the first bytes of a method's buffer; nil where the file does not name such a buffer.
    func buffer(_ name: String, of method: String, bytes count: Int) throws(PocketVLError) -> [UInt8]? {
        var type = pv_type()
        if Self.failure({ pv_buffer(program, method, name, &type, $0, $1) }) != nil { return nil }
        var bytes = [UInt8](repeating: 0, count: count)
        if let failure = Self.failure({ pv_read_buffer(program, method, name, &bytes, count, $0, $1) }) {
            throw unreadable(failure)
        }
        return bytes
    }

    /// Writes the first bytes of a method's buffer.
    func write(_ bytes: [UInt8], to name: String, of method: String) throws(PocketVLError) {
        if let failure = Self.failure({ pv_write_buffer(program, method, name, bytes, bytes.count, $0, $1) }) {
            throw unreadable(failure)
        }
    }

    /// float32 sizes of a method's buffer; nil where the file does not name such a buffer.
    func bufferShape(_ name: String, of method: String) -> [Int]? {
        var type = pv_type()
        let failure = Self.failure { pv_buffer(program, method, name, &type, $0, $1) }
        return failure == nil && type.dtype == Int32(PV_FLOAT32) ? type.shape : nil
    }

    private func check(_ methods: [String], _ constants: [String: Int]) throws(PocketVLError) {
        let found = (0..<pv_method_count(program)).compactMap {
            pv_method_name(program, $0).map { String(cString: $0) }
        }
        for method in methods + constants.keys.sorted() where !found.contains(method) {
            throw .bundle("\(file.path) lacks the method '\(method)'; export the bundle again.")
        }
        for (method, wanted) in constants.sorted(by: { $0.key < $1.key }) {
            var value: Int64 = 0
            if let failure = Self.failure({ pv_integer(program, method, &value, $0, $1) }) { throw unreadable(failure) }
            if value != Int64(wanted) {
                throw .bundle(
                    "\(file.path) has \(method) as \(value), but the manifest needs \(wanted); export it again.")
            }
        }
    }

    private func unreadable(_ reason: String) -> PocketVLError {
        .engine(
            "ExecuTorch cannot load \(file.path) (\(Self.clause(reason))). Copy the whole bundle again or export it"
                + " again.")
    }

    /// The sentence of a call that failed; nil where it did not.
    private static func failure(_ call: (UnsafeMutablePointer<CChar>?, Int) -> Int32) -> String? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: errorBytes) { buffer in
            buffer.initialize(repeating: 0)
            if call(buffer.baseAddress, buffer.count) == Int32(PV_OK) { return nil }
            return buffer.baseAddress.map { String(cString: $0) } ?? ""
        }
    }

    /// A sentence without its full stop.
    private static func clause(_ sentence: String) -> String {
        sentence.hasSuffix(".") ? String(sentence.dropLast()) : sentence
    }
}
