/// The largest numbers that a manifest may name: far above any model, and far below what takes all memory.
enum Limits {
    private static let most = 1 << 20
    private static let mostOf = [
        "num_layers": 1024,
        "depth": 1024,
        "in_channels": 16,
        "patch_size": 256,
        "temporal_patch_size": 16,
        "max_position_embeddings": 1 << 30,  // nothing is that long; max_context bounds what is
        "max_pixels": (1 << 31) - 1,  // likewise, the largest bucket does; an int in every language
    ]

    /// Throws ``Fault`` for a number that no model has.
    static func check(
        _ geometry: ModelGeometry, _ image: ImageSettings, buckets: [Int], maxContext: Int
    ) throws(Fault) {
        for (name, value) in geometry.vision.sizes { try check(name, value) }
        for (name, value) in geometry.text.sizes { try check(name, value) }
        if geometry.text.mropeSection.contains(where: { $0 < 0 }) {
            throw Fault("mrope_section \(geometry.text.mropeSection) must not be negative")
        }
        try check("min_pixels", image.minPixels)
        try check("max_pixels", image.maxPixels)
        try check("max_context", maxContext)
        for bucket in buckets { try check("a bucket", bucket) }
    }

    /// Throws ``Fault`` for a number that no group of layers has.
    static func checkLayers(bits: Int, groupSize: Int?, layers: Int) throws(Fault) {
        try check("bits", bits)
        if let groupSize { try check("group_size", groupSize) }
        try check("layers", layers)
    }

    private static func check(_ name: String, _ value: Int) throws(Fault) {
        let most = mostOf[name] ?? most
        if value > most { throw Fault("\(name) is \(value), but must not be more than \(most)") }
    }
}
