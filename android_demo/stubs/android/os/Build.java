package android.os;

public class Build {
    private Build() {}

    /** API 31 */
    public static final String SOC_MODEL = String.valueOf("");
}
