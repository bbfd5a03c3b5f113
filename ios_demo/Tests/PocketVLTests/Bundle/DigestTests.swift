import Testing

@testable import PocketVL

@Suite struct DigestTests {
    @Test("SHA-256 is that of FIPS 180-4's examples")
    func examples() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        let two = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        let million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        #expect(Digest.hex(of: Array("abc".utf8)) == abc)
        #expect(Digest.hex(of: []) == empty)
        #expect(Digest.hex(of: Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8)) == two)
        #expect(Digest.hex(of: [UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000)) == million)
    }

    @Test("pieces of any size give the hash of the whole")
    func pieces() {
        let bytes = (0..<300).map { UInt8(truncatingIfNeeded: $0 * 7) }
        for size in [1, 3, 55, 56, 63, 64, 65, 128, 299] {
            var function = SHA256Function()
            for start in stride(from: 0, to: bytes.count, by: size) {
                bytes[start..<min(start + size, bytes.count)].withUnsafeBytes { function.update($0) }
            }
            let hex = function.finalize().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            #expect(hex == Digest.hex(of: bytes))
        }
    }
}
