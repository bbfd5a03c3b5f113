// swift-tools-version: 5.9
import PackageDescription

// The core needs Foundation alone. Each engine is a product of its own, so that an app links the runtime that it uses.
let package = Package(
    name: "PocketVL",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [
        .library(name: "PocketVL", targets: ["PocketVL"]),
        .library(name: "PocketVLUI", targets: ["PocketVLUI"]),
    ],
    targets: [
        .target(name: "PocketVL"),
        // View models in plain Swift, and SwiftUI screens where there is SwiftUI.
        .target(name: "PocketVLUI", dependencies: ["PocketVL"]),
        .testTarget(name: "PocketVLTests", dependencies: ["PocketVL"]),
        .testTarget(name: "PocketVLUITests", dependencies: ["PocketVL", "PocketVLUI"]),
    ],
    swiftLanguageVersions: [.version("6")]
)

let engineTests = Target.testTarget(name: "EngineTests", dependencies: ["PocketVL", "PocketVLUI"])
/// Speed and memory on Linux, see bench.sh; no app's package has it.
let bench = Target.executableTarget(name: "Bench", dependencies: ["PocketVL", "CAllocations"], path: "Bench")

/// Adds an engine and its tests' dependency on it.
func addEngine(_ name: String, dependencies: [Target.Dependency]) {
    package.products.append(.library(name: name, targets: [name]))
    package.targets.append(.target(name: name, dependencies: ["PocketVL"] + dependencies))
    engineTests.dependencies.append(.target(name: name))
    bench.dependencies.append(.target(name: name))
}

#if os(macOS)
    package.dependencies += [
        .package(url: "https://github.com/microsoft/onnxruntime-swift-package-manager", from: "1.20.0"),
        .package(url: "https://github.com/pytorch/executorch", branch: "swiftpm-1.4.1"),
    ]
    let executorch = ["executorch", "backend_xnnpack", "kernels_llm", "kernels_optimized", "kernels_quantized"]
        .map { Target.Dependency.product(name: $0, package: "executorch") }
    package.targets += [
        .target(
            name: "COnnxRuntime",
            dependencies: [.product(name: "onnxruntime", package: "onnxruntime-swift-package-manager")]),
        // A link to native/ of the repository.
        .target(
            name: "CPocketVLExecuTorch", dependencies: executorch, path: "native",
            exclude: ["README.md", "build.sh", "test"], sources: ["src"], publicHeadersPath: "include",
            cxxSettings: [.define("C10_USING_CUSTOM_GENERATED_MACROS"), .headerSearchPath("src")],
            linkerSettings: [.linkedLibrary("c++")]),
    ]
    package.cxxLanguageStandard = .cxx17
    addEngine("PocketVLOnnx", dependencies: ["COnnxRuntime"])
    addEngine("PocketVLExecuTorch", dependencies: ["CPocketVLExecuTorch"])
#else
    // swift.sh says which libraries it found, and tells compiler and linker where they are.
    if Context.environment["POCKETVL_ONNXRUNTIME"] != nil {
        package.targets.append(
            .target(name: "COnnxRuntime", linkerSettings: [.linkedLibrary("onnxruntime")]))
        addEngine("PocketVLOnnx", dependencies: ["COnnxRuntime"])
    }
    if Context.environment["POCKETVL_EXECUTORCH"] != nil {
        package.targets.append(.systemLibrary(name: "CPocketVLExecuTorch"))
        addEngine("PocketVLExecuTorch", dependencies: ["CPocketVLExecuTorch"])
    }
#endif
#if os(macOS)
    addEngine("PocketVLCoreML", dependencies: [])
#else
    // The engine's own lines are compiled and tested here with a module that has Apple's names; it is no product.
    package.targets += [
        .target(name: "CoreML", path: "Tests/Support/CoreML"),
        .target(name: "PocketVLCoreML", dependencies: ["PocketVL", "CoreML"]),
    ]
    engineTests.dependencies += ["PocketVLCoreML", "CoreML", "CAllocations"]
    package.targets += [.target(name: "CAllocations", path: "Tests/Support/CAllocations"), bench]
#endif
package.targets.append(engineTests)
