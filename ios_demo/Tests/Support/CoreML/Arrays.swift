import Foundation

// Names and signatures of Apple's Core ML, as far as PocketVLCoreML uses them, for Linux. What lies behind them is this
// project's evaluator of saved packages, in Python: it proves the engine's own lines, and nothing about Apple's.

public enum MLMultiArrayDataType: Int, Sendable {
    case float16 = 65552
    case int32 = 131104

    init?(numpy: String) {
        switch numpy {
        case "float16": self = .float16
        case "int32": self = .int32
        default: return nil
        }
    }

    var numpy: String { self == .float16 ? "float16" : "int32" }
    var bytes: Int { self == .float16 ? 2 : 4 }
}

public final class MLMultiArray: @unchecked Sendable {
    public let shape: [NSNumber]
    public let strides: [NSNumber]
    public let dataType: MLMultiArrayDataType
    private let memory: UnsafeMutableRawBufferPointer

    public convenience init(shape: [NSNumber], dataType: MLMultiArrayDataType) throws {
        self.init(sizes: shape.map(\.intValue), dataType, gap: 0)
    }

    /// `gap`: numbers between rows, as hardware leaves them.
    init(sizes: [Int], _ dataType: MLMultiArrayDataType, gap: Int) {
        var strides = [Int](repeating: 1, count: sizes.count)
        for axis in sizes.indices.dropLast().reversed() {
            strides[axis] = strides[axis + 1] * sizes[axis + 1] + (axis == sizes.count - 2 ? gap : 0)
        }
        shape = sizes.map { NSNumber(value: $0) }
        self.strides = strides.map { NSNumber(value: $0) }
        self.dataType = dataType
        let count = sizes.isEmpty ? 1 : sizes[0] * strides[0]
        memory = .allocate(byteCount: max(1, count) * dataType.bytes, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit { memory.deallocate() }

    public subscript(index: Int) -> NSNumber {
        get {
            dataType == .int32
                ? NSNumber(value: memory.load(fromByteOffset: 4 * index, as: Int32.self))
                : NSNumber(value: Float(memory.load(fromByteOffset: 2 * index, as: Float16.self)))
        }
        set {
            if dataType == .int32 {
                memory.storeBytes(of: newValue.int32Value, toByteOffset: 4 * index, as: Int32.self)
            } else {
                memory.storeBytes(of: Float16(newValue.floatValue), toByteOffset: 2 * index, as: Float16.self)
            }
        }
    }

    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try body(UnsafeRawBufferPointer(memory))
    }

    public func withUnsafeMutableBytes<R>(_ body: (UnsafeMutableRawBufferPointer, [Int]) throws -> R) rethrows -> R {
        try body(memory, strides.map(\.intValue))
    }

    /// Without gaps.
    var packed: Data {
        get {
            var data = Data()
            forEachRow { start, bytes in data.append(contentsOf: memory[start..<start + bytes]) }
            return data
        }
        set {
            var place = newValue.startIndex
            forEachRow { start, bytes in
                let row = UnsafeMutableRawBufferPointer(rebasing: memory[start..<start + bytes])
                row.copyBytes(from: newValue[place..<place + bytes])
                place += bytes
            }
        }
    }

    private func forEachRow(_ body: (_ start: Int, _ bytes: Int) -> Void) {
        let (sizes, strides) = (shape.map(\.intValue), strides.map(\.intValue))
        let rows = sizes.dropLast().reduce(1, *)
        for row in 0..<rows {
            var (rest, start) = (row, 0)
            for axis in sizes.indices.dropLast().reversed() {
                start += rest % sizes[axis] * strides[axis]
                rest /= sizes[axis]
            }
            body(start * dataType.bytes, (sizes.last ?? 1) * dataType.bytes)
        }
    }
}

public final class MLFeatureValue {
    public let multiArrayValue: MLMultiArray?

    public init(multiArray: MLMultiArray) { multiArrayValue = multiArray }
}

public protocol MLFeatureProvider {
    var featureNames: Set<String> { get }
    func featureValue(for featureName: String) -> MLFeatureValue?
}

public final class MLDictionaryFeatureProvider: MLFeatureProvider {
    private let values: [String: MLFeatureValue]

    public init(dictionary: [String: Any]) throws {
        values = dictionary.compactMapValues { $0 as? MLFeatureValue }
    }

    public var featureNames: Set<String> { Set(values.keys) }

    public func featureValue(for featureName: String) -> MLFeatureValue? { values[featureName] }
}
