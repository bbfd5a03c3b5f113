package java.lang;

/** API 24, which Kotlin's data classes call */
public final class Double {
    private Double() {}

    public static native int hashCode(double value);
}
