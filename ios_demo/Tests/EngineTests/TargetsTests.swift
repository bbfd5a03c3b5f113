#if canImport(PocketVLOnnx) && canImport(PocketVLExecuTorch)
    import Foundation
    import PocketVLExecuTorch
    import PocketVLOnnx
    import Testing

    @testable import PocketVL

    @Suite(.enabled(if: EngineCases.folder != nil, "no bundles were exported"))
    struct TargetsTests {
        @Test("a bundle goes to the engine of its target")
        func targets() throws {
            let (onnx, executorch) = (try EngineCases.bundle("onnx-int4"), try EngineCases.bundle("executorch-int4"))
            let error = try refusal { _ = try OnnxEngine.open(executorch) }
            #expect(error?.message.contains("is a bundle for executorch, not for onnx") == true)
            #expect(try refusal { _ = try ExecuTorchEngine.open(onnx) }?.isBundle == true)
        }

        // Other tests load methods meanwhile, all with one thread, so the second engine never gets its two.
        @Test("ExecuTorch's pool is not replaced under a method that uses it")
        func pool() throws {
            let bundle = try EngineCases.bundle("executorch-int4")
            let (first, second) = (try EngineCases.open(bundle), try EngineCases.open(bundle, threads: 2))
            _ = try first.step(bundle, 1, at: 0)
            let error = try refusal { _ = try second.step(bundle, 1, at: 0) }
            #expect(error?.message.contains("cannot change while methods are loaded") == true)
            _ = try first.step(bundle, 1, at: 1)
            first.close()
            second.close()
        }
    }
#endif
