import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import org.jetbrains.kotlin.cli.common.ExitCode;
import org.jetbrains.kotlin.cli.jvm.K2JVMCompiler;

/**
 * Compiles one module after another in one JVM, so that the compiler warms up once: each line of standard input
 * names a file of kotlinc's options, each line of standard output is that compilation's exit status.
 */
final class Kotlinc {
    public static void main(String[] args) throws IOException {
        var lines = new BufferedReader(new InputStreamReader(System.in));
        for (String options = lines.readLine(); options != null; options = lines.readLine()) {
            ExitCode status = new K2JVMCompiler().exec(System.err, "@" + options);
            System.out.println(status.getCode());
            System.out.flush();
        }
        System.exit(0);
    }
}
