package java.lang;

/** API 24, which Kotlin's data classes call */
public final class Long {
    private Long() {}

    public static native int hashCode(long value);
}
