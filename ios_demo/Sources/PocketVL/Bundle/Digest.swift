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

    /// 64 lowercase hexadecimal digits. Nothing may be added afterwards.
    mutating func hex() -> String {
        #if canImport(CryptoKit)
            let bytes = Array(function.finalize())
        #else
            let bytes = function.finalize()
        #endif
        return bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    static func hex(of bytes: [UInt8]) -> String {
        var digest = Digest()
        bytes.withUnsafeBytes { digest.update($0) }
        return digest.hex()
    }
}
