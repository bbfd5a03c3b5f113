import Foundation
import Testing

@testable import PocketVL

@Suite struct SavedCacheTests {
    @Test("a cache goes on in another engine", arguments: EngineCases.quantized)
    func goesOn(name: String) throws {
        let bundle = try EngineCases.bundle(name)
        let (from, to) = (try EngineCases.open(bundle), try EngineCases.open(bundle))
        _ = try from.step(bundle, 5, at: 0)
        let (source, target) = (try #require(from.text as? SavesCache), try #require(to.text as? SavesCache))
        let saved = try source.saveCache(length: 5)
        let text = bundle.manifest.geometry.text
        let bytes = text.numLayers * 2 * text.numKvHeads * 5 * text.headDim * (name.hasPrefix("coreml") ? 2 : 4)
        #expect(saved.values.reduce(0) { $0 + $1.bytes.count } == bytes)
        #expect(saved.values.contains { $0.bytes.contains { $0 != 0 } })
        _ = try to.step(bundle, 9, at: 0)
        #expect(try target.loadCache(saved) == 5)
        #expect(to.text.cache.count == 0)
        #expect(try target.saveCache(length: 5) == saved)
        #expect(try from.step(bundle, 2, at: 5) == to.step(bundle, 2, at: 5))
        for length in [-1, bundle.manifest.maxContext + 1] {
            #expect(try refusal { _ = try target.saveCache(length: length) } != nil)
        }
        from.close()
        to.close()
    }

    @Test("tensors of another model are refused and change nothing", arguments: EngineCases.quantized)
    func otherModel(name: String) throws {
        let bundle = try EngineCases.bundle(name)
        let engine = try EngineCases.open(bundle)
        defer { engine.close() }
        _ = try engine.step(bundle, 3, at: 0)
        let text = try #require(engine.text as? SavesCache)
        let good = try text.saveCache(length: 3)
        let names = good.keys.sorted()
        let first = try #require(good[names[0]])
        let axis = name.hasPrefix("executorch") ? 1 : 2
        func with(_ name: String, _ tensor: CacheTensor?) -> [String: CacheTensor] {
            var tensors = good
            tensors[name] = tensor
            return tensors
        }
        func slots(_ count: Int) -> [String: CacheTensor] {
            good.mapValues { tensor in
                var shape = tensor.shape
                shape[axis] = count
                return CacheTensor(dtype: tensor.dtype, shape: shape, bytes: tensor.bytes)
            }
        }
        var renamed = with(names[0], nil)
        renamed["other"] = first
        let bad = [
            [:], with(names[0], nil), with("more", first), renamed,
            with(names[0], CacheTensor(dtype: "int8", shape: first.shape, bytes: first.bytes)),
            with(names[0], CacheTensor(dtype: first.dtype, shape: first.shape, bytes: Array(first.bytes.prefix(8)))),
            with(names[0], CacheTensor(dtype: first.dtype, shape: [1], bytes: first.bytes)),
            with(names[1], try text.saveCache(length: 2)[names[1]]), slots(-1), slots(1 << 30), slots(Int.max),
        ]
        for tensors in bad {
            #expect(try refusal { _ = try text.loadCache(tensors) }?.message.contains("of another model") == true)
        }
        let expected = try engine.step(bundle, 1, at: 3)
        #expect(try text.loadCache(good) == 3)
        #expect(try engine.step(bundle, 1, at: 3) == expected)
    }
}
