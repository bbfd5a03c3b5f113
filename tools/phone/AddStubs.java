import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;
import org.jetbrains.org.objectweb.asm.ClassReader;
import org.jetbrains.org.objectweb.asm.ClassWriter;
import org.jetbrains.org.objectweb.asm.Opcodes;
import org.jetbrains.org.objectweb.asm.tree.ClassNode;

/**
 * Adds to android.jar what newer versions of Android declare and the app uses: whole classes, and members of
 * classes that are there already. The result is compiled against and never packaged.
 *
 * <p>Arguments: android.jar, folder of the compiled declarations, jar to write. A declaration that android.jar
 * has already is refused, so that the folder lists what is newer and nothing else.
 */
final class AddStubs {
    public static void main(String[] args) throws IOException {
        Path folder = Path.of(args[1]);
        Map<String, ClassNode> stubs = new HashMap<>();
        List<Path> files;
        try (var walked = Files.walk(folder)) {
            files = walked.filter(file -> file.toString().endsWith(".class")).toList();
        }
        for (Path file : files) {
            stubs.put(folder.relativize(file).toString(), read(Files.readAllBytes(file)));
        }
        try (var android = new ZipFile(args[0]); var out = new ZipOutputStream(Files.newOutputStream(Path.of(args[2])))) {
            out.setLevel(1);
            for (var entry : java.util.Collections.list(android.entries())) {
                if (!entry.getName().endsWith(".class")) {
                    continue;
                }
                out.putNextEntry(new ZipEntry(entry.getName()));
                ClassNode stub = stubs.remove(entry.getName());
                try (InputStream in = android.getInputStream(entry)) {
                    out.write(stub == null ? in.readAllBytes() : merged(read(in.readAllBytes()), stub));
                }
            }
            for (var stub : stubs.entrySet()) {
                out.putNextEntry(new ZipEntry(stub.getKey()));
                out.write(merged(stub.getValue(), null));
            }
        }
    }

    private static ClassNode read(byte[] bytes) {
        var node = new ClassNode();
        new ClassReader(bytes).accept(node, 0);
        return node;
    }

    /** The class with the stub's members that others can see; javac's own private and synthetic ones stay out. */
    private static byte[] merged(ClassNode into, ClassNode stub) {
        if (stub != null) {
            for (var method : stub.methods) {
                if (isVisible(method.access)) {
                    refuse(into, into.methods.stream().anyMatch(m -> (m.name + m.desc).equals(method.name + method.desc)),
                        method.name + method.desc);
                    into.methods.add(method);
                }
            }
            for (var field : stub.fields) {
                if (isVisible(field.access)) {
                    refuse(into, into.fields.stream().anyMatch(f -> f.name.equals(field.name)), field.name);
                    into.fields.add(field);
                }
            }
            for (var inner : stub.innerClasses) {
                if (into.innerClasses.stream().noneMatch(i -> i.name.equals(inner.name))) {
                    into.innerClasses.add(inner);
                }
            }
        }
        var writer = new ClassWriter(0);
        into.accept(writer);
        return writer.toByteArray();
    }

    private static boolean isVisible(int access) {
        return (access & (Opcodes.ACC_PRIVATE | Opcodes.ACC_SYNTHETIC)) == 0;
    }

    private static void refuse(ClassNode into, boolean present, String member) {
        if (present) {
            throw new IllegalArgumentException("android.jar has " + into.name + "." + member + " already");
        }
    }
}
