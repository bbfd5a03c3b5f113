import Foundation

/// Named tensors and a few texts in one file that is whole or refused.
///
/// The layout is that of safetensors (https://github.com/huggingface/safetensors, "Format"):
///
///     bytes 0..7     N, the size of the header, as an unsigned 64-bit little-endian integer
///     bytes 8..N+7   the header, JSON in UTF-8, filled up with spaces so that 8 + N is a multiple of 8:
///                    {"__metadata__": {name: text, ...},
///                     name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
///     then           the data: of each tensor its elements in row-major order, little-endian, at data_offsets
///                    (begin, end) counted from byte N+8; tensors follow each other without gaps, in the order of
///                    the header, and the last one ends with the file
///
/// dtype is one of F16, F32, I64 and U8. The last tensor is "sha256", U8 of 32: the hash over all bytes of the file
/// before it. So a file that is torn or damaged anywhere is refused before anything in it is believed.
struct TensorFile: Sendable {
    /// A tensor and its name, in the order of the file.
    struct Named: Sendable, Equatable {
        let name: String
        let tensor: CacheTensor
    }

    let texts: [(name: String, text: String)]
    let tensors: [Named]

    static let mostHeader = 16 << 20  // bytes
    static let digestBytes = 32
    fileprivate static let digestName = "sha256"
    fileprivate static let metadata = "__metadata__"
    fileprivate static let mostSize = 1 << 48  // bytes, more than a file can have
    fileprivate static let types: [(own: String, numpy: String, size: Int)] = [
        ("F16", "float16", 2), ("F32", "float32", 4), ("I64", "int64", 8), ("U8", "uint8", 1),
    ]

    subscript(text name: String) -> String? { texts.first { $0.name.isExactly(name) }?.text }

    /// What a file holds, at most `mostData` bytes of tensors, read in one pass: what the header says is looked at
    /// first, and believed only if the hash is right.
    ///
    /// Throws ``PocketVLError/conversation(_:)`` for a file that is not whole.
    static func read(_ file: URL, mostData: Int) throws(PocketVLError) -> TensorFile {
        let most = Saturating.sum(8 + mostHeader + digestBytes, mostData)
        let input = try HashedFile(file.path, most: most)
        if input.size < 8 + digestBytes { throw damaged(file) }
        var tensors: [Named] = []
        let header = try Self.header(input)
        if case .success(let header) = header {
            for entry in header.entries {
                guard let bytes = try input.read(entry.end - entry.begin) else { throw damaged(file) }
                tensors.append(
                    Named(
                        name: entry.name, tensor: CacheTensor(dtype: entry.dtype, shape: entry.shape, bytes: bytes)))
            }
        }
        guard try input.endsWithItsHash(digestBytes) else { throw damaged(file) }
        switch header {
        case .success(let header): return TensorFile(texts: header.texts, tensors: tensors)
        case .failure(let fault):
            // Written so: nothing was damaged on the way.
            throw .conversation(
                "\(file.path.shortenedPath) is not laid out as a saved conversation is (\(fault.message)).")
        }
    }

    /// Replaces a file by this, or leaves it as it was: a file beside it is written, flushed and renamed.
    ///
    /// Throws ``PocketVLError/conversation(_:)``.
    func write(_ file: URL) throws(PocketVLError) {
        let header = try header()
        let size = withUnsafeBytes(of: UInt64(header.count).littleEndian, Array.init)
        var digest = Digest()
        let parts = [size, header] + tensors.map(\.tensor.bytes)
        for part in parts { part.withUnsafeBytes { digest.update($0) } }
        try ReplacedFile.write(file, parts + [digest.bytes()])
    }

    private func header() throws(PocketVLError) -> [UInt8] {
        var entries = JSONObject()
        entries[Self.metadata] = .object(JSONObject(texts.map { ($0.name, .string($0.text)) }))
        var end = 0
        for named in tensors {
            let tensor = named.tensor
            guard let type = Self.types.first(where: { $0.numpy == tensor.dtype }),
                Self.bytes(type.size, tensor.shape) == tensor.bytes.count, named.name != Self.digestName
            else { throw .conversation("The tensor \(named.name) of \(tensor.dtype) cannot be saved.") }
            entries[named.name] = Self.entry(type.own, tensor.shape, end, tensor.bytes.count)
            end += tensor.bytes.count
        }
        entries[Self.digestName] = Self.entry("U8", [Self.digestBytes], end, Self.digestBytes)
        var bytes = Array((JSON.object(entries).written() ?? "").utf8)
        bytes += [UInt8](repeating: UInt8(ascii: " "), count: (8 - bytes.count % 8) % 8)
        return bytes
    }

    private static func entry(_ type: String, _ shape: [Int], _ begin: Int, _ bytes: Int) -> JSON {
        .object(
            JSONObject([
                ("dtype", .string(type)), ("shape", .array(shape.map { .integer(Int64($0)) })),
                ("data_offsets", .array([.integer(Int64(begin)), .integer(Int64(begin + bytes))])),
            ]))
    }

    /// The largest `Int` for more than a file can have.
    fileprivate static func bytes(_ size: Int, _ shape: [Int]) -> Int {
        if shape.contains(0) { return 0 }
        let bytes = shape.reduce(size, Saturating.product)
        return (0...mostSize).contains(bytes) ? bytes : .max
    }

    private static func damaged(_ file: URL) -> PocketVLError {
        .conversation("\(file.path.shortenedPath) is damaged or no saved conversation; save it again.")
    }
}

extension TensorFile {
    private struct Entry {
        let name: String
        let dtype: String  // numpy's
        let shape: [Int]
        let begin: Int
        let end: Int
    }

    private typealias Header = (texts: [(name: String, text: String)], entries: [Entry])

    /// The header, which comes next, or what is wrong with it.
    private static func header(_ input: HashedFile) throws(PocketVLError) -> Result<Header, Fault> {
        let length = (try input.read(8) ?? []).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard length <= UInt64(min(mostHeader, input.left)) else {
            return .failure(Fault("its header ends outside of the file"))
        }
        guard let bytes = try input.read(Int(length)) else { return .failure(Fault("its header is cut off")) }
        let size = input.left
        return Result { () throws(Fault) in try parse(header: bytes, size: size) }
    }

    /// Texts and tensors of a header that is followed by `size` bytes, the hash among them.
    private static func parse(
        header: [UInt8], size: Int
    ) throws(Fault) -> Header {
        let value: JSON
        do {
            value = try JSON.parse(bytes: header)
        } catch {
            throw Fault(error.message)
        }
        guard let object = value.asObject else { throw Fault("its header is no object") }
        var texts: [(name: String, text: String)] = []
        var entries: [Entry] = []
        var end = 0
        for member in object.members {
            if member.key.isExactly(metadata) {
                guard let given = member.value.asObject else { throw Fault("its metadata are not texts") }
                for each in given.members {
                    guard let text = each.value.asString else { throw Fault("its metadata are not texts") }
                    texts.append((each.key, text))
                }
                continue
            }
            let (entry, bytes) = try entry(member.key, member.value)
            guard entry.begin == end, entry.end <= size, entry.end - entry.begin == bytes else {
                throw Fault("the tensor \(entry.name.shortenedPath) has other bytes than its shape")
            }
            entries.append(entry)
            end = entry.end
        }
        guard let last = entries.popLast(), end == size, last.name.isExactly(digestName),
            last.end - last.begin == digestBytes
        else { throw Fault("it does not end with its hash") }
        return (texts, entries)
    }

    /// An entry, and the bytes that its type and shape take.
    private static func entry(_ name: String, _ value: JSON) throws(Fault) -> (Entry, bytes: Int) {
        guard let object = value.asObject, object.members.count == 3, let dtype = object["dtype"],
            let shape = object["shape"], let offsets = object["data_offsets"]
        else { throw Fault("a tensor is not described by dtype, shape and data_offsets") }
        guard let type = types.first(where: { .string($0.own) == dtype }) else {
            throw Fault("a tensor has an unknown dtype")
        }
        guard let sides = counts(shape, most: Int(Int32.max)), sides.count <= 8,
            let places = counts(offsets, most: mostSize), places.count == 2
        else { throw Fault("a tensor's shape or offsets are not whole numbers") }
        let entry = Entry(name: name, dtype: type.numpy, shape: sides, begin: places[0], end: places[1])
        return (entry, bytes(type.size, sides))
    }

    private static func counts(_ value: JSON, most: Int) -> [Int]? {
        guard let values = value.asArray else { return nil }
        let counts = values.compactMap(\.asInteger).filter { (0...most).contains($0) }
        return counts.count == values.count ? counts : nil
    }
}

extension String {
    /// At most 120 characters of a path or a name, for messages.
    var shortenedPath: String { unicodeScalars.count <= 120 ? self : shortened(to: 117) }
}
