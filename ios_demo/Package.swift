// swift-tools-version: 5.9
import PackageDescription

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
