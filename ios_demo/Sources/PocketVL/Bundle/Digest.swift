#if canImport(CryptoKit)
    import CryptoKit
#endif

/// SHA-256, by Apple's CryptoKit where it is, and by ``SHA256Function`` elsewhere.
struct Digest {
    #if canImport(CryptoKit)
        private var function = SHA256()
    #else
        private var function = SHA256Function()
    #endif

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        #if canImport(CryptoKit)
            function.update(bufferPointer: bytes)
        #else
            function.update(bytes)
        #endif
    }

    /// 32 bytes. Nothing may be added afterwards.
    mutating func bytes() -> [UInt8] {
        #if canImport(CryptoKit)
            return Array(function.finalize())
        #else
            return function.finalize()
        #endif
    }

    /// The same as 64 lowercase hexadecimal digits.
    mutating func hex() -> String {
        bytes().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    static func hex(of bytes: [UInt8]) -> String {
        var digest = Digest()
        bytes.withUnsafeBytes { digest.update($0) }
        return digest.hex()
    }
}
