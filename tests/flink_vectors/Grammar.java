import java.io.*;
import java.lang.reflect.Proxy;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;

/** Writes streams with everything that the serialization protocol has: java Grammar DIRECTORY. */
public class Grammar {
  enum Colour { RED, GREEN { @Override public String toString() { return "green"; } } }
  static class Base implements Serializable { int number = 7; String shared = "base"; }
  static class Primitives extends Base {
    byte b = -1; char c = '\u00e4'; double d = 1.5; float f = -0.25f; int i = Integer.MIN_VALUE;
    long j = Long.MAX_VALUE; short s = -300; boolean z = true;
    int[] ints = {1, -2, 3}; long[] longs = {Long.MIN_VALUE}; byte[] bytes = {0, -1}; boolean[] flags = {true, false};
    char[] chars = {'a', '\u20ac'}; double[] doubles = {0.5}; float[] floats = {2f}; short[] shorts = {-7};
    int[][] nested = {{1}, null, {}}; Object[] mixed = {"x", null, 1L}; String shared = "mine"; Object self = this;
    Colour colour = Colour.GREEN; Class<?> type = Colour.class; Object nothing = null;
    String texts = "a\u0000\u00e4\u20ac\ud83d\ude00"; transient int left = 3;
  }
  static class Written implements Serializable {
    String before = "before";
    private void writeObject(ObjectOutputStream out) throws IOException {
      out.defaultWriteObject(); out.writeInt(42); out.writeUTF("data"); out.writeObject("object"); out.writeLong(7); out.write(new byte[2000]);
    }
  }
  public static class Own implements Externalizable {
    public Own() {}
    public void writeExternal(ObjectOutput out) throws IOException { out.writeInt(9); out.writeObject(List.of("inside")); }
    public void readExternal(ObjectInput in) {}
  }
  static class Broken implements Serializable {
    private void writeObject(ObjectOutputStream out) throws IOException { throw new IOException("no"); }
  }
  static class Link implements Serializable { Link next; int depth; }
  static class Annotated extends ObjectOutputStream {
    Annotated(OutputStream out) throws IOException { super(out); }
    @Override protected void annotateClass(Class<?> type) throws IOException { writeUTF("note"); writeObject("text"); }
  }
  interface Write { void to(ObjectOutputStream out) throws Exception; }
  static String directory;
  static void stream(String name, Write write) throws Exception {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    ObjectOutputStream out = name.equals("annotated") ? new Annotated(bytes) : new ObjectOutputStream(bytes);
    try { write.to(out); } catch (IOException failed) { }
    out.flush();
    Files.write(Path.of(directory, "grammar." + name), bytes.toByteArray());
  }
  public static void main(String[] arguments) throws Exception {
    directory = arguments[0];
    stream("everything", out -> {
      out.writeInt(1);
      out.writeUTF("x".repeat(2000));
      Primitives one = new Primitives();
      out.writeObject(one);
      out.writeObject(one);
      out.writeObject(new Written());
      out.writeObject(new Own());
      out.writeObject(Colour.RED);
      out.writeObject(ObjectStreamClass.lookup(Base.class));
      out.writeObject("l".repeat(70000));
      out.writeObject(Proxy.newProxyInstance(Grammar.class.getClassLoader(), new Class<?>[] {Runnable.class, Comparable.class},
          (java.lang.reflect.InvocationHandler & Serializable) (proxy, method, values) -> null));
      out.reset();
      out.writeObject(new Base());
      out.writeByte(5);
      out.writeByte(6);
    });
    stream("collections", out -> {
      out.writeObject(new ArrayList<>(List.of("a", "b"))); out.writeObject(new LinkedList<>(List.of("a", "b")));
      out.writeObject(new ArrayDeque<>(List.of("a", "b"))); out.writeObject(new CopyOnWriteArrayList<>(List.of("a", "b")));
      out.writeObject(new Vector<>(List.of("a", "b"))); out.writeObject(Arrays.asList("a", "b")); out.writeObject(List.of("a", "b"));
      out.writeObject(Collections.unmodifiableList(new ArrayList<>(List.of("a", "b")))); out.writeObject(Collections.synchronizedList(new ArrayList<>(List.of("a", "b"))));
      out.writeObject(new LinkedHashSet<>(List.of("a", "b"))); out.writeObject(new TreeSet<>(List.of("a", "b"))); out.writeObject(new String[] {"a", "b"});
      out.writeInt(0);
      out.writeObject(Collections.emptyList()); out.writeObject(Set.of()); out.writeObject(new HashSet<>()); out.writeObject(Collections.emptySet());
      out.writeInt(0);
      out.writeObject(Collections.singletonList("a")); out.writeObject(Collections.singleton("a")); out.writeObject(Set.of("a"));
      out.writeInt(0);
      out.writeObject(new HashMap<>(Map.of("k", 1))); out.writeObject(new LinkedHashMap<>(Map.of("k", 1))); out.writeObject(new TreeMap<>(Map.of("k", 1)));
      out.writeObject(new Hashtable<>(Map.of("k", 1))); out.writeObject(new ConcurrentHashMap<>(Map.of("k", 1))); out.writeObject(Map.of("k", 1));
      out.writeObject(Collections.singletonMap("k", 1)); out.writeObject(Collections.unmodifiableMap(new HashMap<>(Map.of("k", 1))));
    });
    stream("failed", out -> out.writeObject(new Object[] {"before", new Broken()}));
    stream("annotated", out -> out.writeObject(new Base()));
    stream("deep", out -> {
      Link first = null;
      for (int i = 0; i < 5000; i++) { Link link = new Link(); link.next = first; link.depth = i; first = link; }
      out.writeObject(first);
    });
  }
}
