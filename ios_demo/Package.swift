// swift-tools-version: 5.9
import PackageDescription

let package = Package(
    name: "PocketVL",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [
        .library(name: "PocketVL", targets: ["PocketVL"])
    ],
    targets: [
        .target(name: "PocketVL"),
        .testTarget(name: "PocketVLTests", dependencies: ["PocketVL"]),
    ],
    swiftLanguageVersions: [.version("6")]
)
