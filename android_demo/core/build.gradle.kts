plugins {
    alias(libs.plugins.kotlin.jvm)
}

kotlin {
    jvmToolchain(17)
    compilerOptions.allWarningsAsErrors = true
}

dependencies {
    api(libs.coroutines.core)
    testImplementation(libs.junit)
    testImplementation(libs.kotlin.test)
}

tasks.test {
    useJUnitPlatform { excludeTags("slow") }
    systemProperty("pocketvl.root", rootDir.resolve(".."))
    systemProperty("pocketvl.golden", rootDir.resolve("../tests/golden"))
}
