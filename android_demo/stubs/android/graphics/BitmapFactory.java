package android.graphics;

public class BitmapFactory {
    private BitmapFactory() {}

    public static class Options {
        private Options() {}

        /** API 26 */
        public ColorSpace inPreferredColorSpace;
    }
}
