import java.io.*;
import java.lang.reflect.*;
import java.nio.file.*;
import java.util.*;
import org.apache.flink.api.common.JobID;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.core.fs.Path;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.runtime.checkpoint.*;
import org.apache.flink.runtime.checkpoint.channel.*;
import org.apache.flink.runtime.checkpoint.metadata.*;
import org.apache.flink.runtime.jobgraph.OperatorID;
import org.apache.flink.runtime.state.*;
import org.apache.flink.runtime.state.IncrementalKeyedStateHandle.HandleAndLocalPath;
import org.apache.flink.runtime.state.changelog.*;
import org.apache.flink.runtime.state.changelog.inmemory.InMemoryChangelogStateHandle;
import org.apache.flink.runtime.state.filesystem.*;
import org.apache.flink.runtime.state.memory.ByteStreamStateHandle;
import org.apache.flink.util.InstantiationUtil;

/** Writes one snapshot with every kind of state handle, as its own release of Flink does: java
 *  Checkpoints DIRECTORY RELEASE. What it made goes to RELEASE.handles.txt, a line each. */
public class Checkpoints {
  static final String JOB = "file:/srv/flink/checkpoints/000000000000000000000000000000ab";
  static final List<String> made = new ArrayList<>();
  static int next = 1000;

  static StreamStateHandle bytes() {
    int size = next++ - 990;
    made.add("bytes " + size + " -");
    return new ByteStreamStateHandle("na\u00efve\u0000\ud83d\ude00" + size, new byte[size]);
  }
  static StreamStateHandle file() {
    int size = next++;
    made.add("file " + size + " " + JOB + "/shared/f " + size);
    return new FileStateHandle(new Path(JOB + "/shared/f " + size), size);
  }
  static StreamStateHandle relative() {
    int size = next++;
    made.add("relative " + size + " " + JOB + "/chk-9/r\u00e4" + size);
    return new RelativeFileStateHandle(new Path(JOB + "/chk-9/r\u00e4" + size), "r\u00e4" + size, size);
  }
  static KeyGroupRangeOffsets groups() {
    return new KeyGroupRangeOffsets(new KeyGroupRange(2, 4), new long[] {7, 8, 9});
  }
  static IncrementalRemoteKeyedStateHandle incremental() {
    return new IncrementalRemoteKeyedStateHandle(new UUID(1, 2), new KeyGroupRange(0, 3), 9,
        List.of(HandleAndLocalPath.of(file(), "000001.sst"), HandleAndLocalPath.of(bytes(), "000002.sst")),
        new ArrayList<>(List.of(HandleAndLocalPath.of(relative(), "MANIFEST"))), bytes());
  }
  static KeyedStateHandle changelog() {
    List<Tuple2<StreamStateHandle, Long>> parts = List.of(Tuple2.of(file(), 5L), Tuple2.of(bytes(), 6L));
    made.add("changes 8 -");
    return new ChangelogStateBackendHandle.ChangelogStateBackendHandleImpl(
        List.of(new KeyGroupsStateHandle(groups(), file()), incremental()),
        List.of(
            new ChangelogStateHandleStreamImpl(parts, new KeyGroupRange(0, 3), 100, 50, "filesystem"),
            new InMemoryChangelogStateHandle(
                List.of(StateChange.ofMetadataChange(new byte[3]), StateChange.ofDataChange(2, new byte[5])),
                SequenceNumber.of(0), SequenceNumber.of(2), new KeyGroupRange(0, 3))),
        new KeyGroupRange(0, 3), 9, 3, 4711);
  }
  static OperatorStateHandle operator(StreamStateHandle inside) {
    Map<String, OperatorStateHandle.StateMetaInfo> parts = new TreeMap<>();
    parts.put("list", new OperatorStateHandle.StateMetaInfo(new long[] {0, 9}, OperatorStateHandle.Mode.SPLIT_DISTRIBUTE));
    parts.put("union\u0000", new OperatorStateHandle.StateMetaInfo(new long[] {1}, OperatorStateHandle.Mode.UNION));
    return new OperatorStreamStateHandle(new HashMap<>(parts), inside);
  }
  static Object construct(String name, Object... arguments) throws Exception {
    for (Constructor<?> each : Class.forName(name).getDeclaredConstructors())
      if (each.getParameterCount() == arguments.length)
        try { each.setAccessible(true); return each.newInstance(arguments); } catch (IllegalArgumentException other) { }
    throw new NoSuchMethodException(name);
  }
  static OperatorState state(String kind, String name, String uid, OperatorID id, int parallelism) throws Exception {
    String type = "org.apache.flink.runtime.checkpoint." + kind;
    try { return (OperatorState) construct(type, name, uid, id, parallelism, 128); }
    catch (NoSuchMethodException before) { return (OperatorState) construct(type, id, parallelism, 128); }
  }
  static boolean has(String name) {
    try { Class.forName(name); return true; } catch (ClassNotFoundException e) { return false; }
  }

  static void write(String base, int version, CheckpointMetadata metadata) throws Exception {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    org.apache.flink.runtime.checkpoint.Checkpoints.storeCheckpointMetadata(metadata, new DataOutputStream(bytes), MetadataSerializers.getSerializer(version));
    Files.write(Paths.get(base + ".v" + version + "._metadata"), bytes.toByteArray());
  }

  public static void main(String[] arguments) throws Exception {
    String base = arguments[0] + "/" + arguments[1];
    boolean merged = has("org.apache.flink.runtime.state.MergedInputChannelStateHandle");
    OperatorState all = state("OperatorState", "name \u00e4", "uid-1", new OperatorID(5, -6), 6);
    all.setCoordinatorState((ByteStreamStateHandle) bytes());
    OperatorSubtaskState.Builder first = OperatorSubtaskState.builder();
    first.setManagedOperatorState(operator(relative())).setRawOperatorState(operator(file()));
    first.setManagedKeyedState(new KeyGroupsStateHandle(groups(), relative()));
    first.setRawKeyedState(new KeyGroupsStateHandle(groups(), file()));
    all.putState(0, first.build());
    all.putState(1, OperatorSubtaskState.builder().setManagedKeyedState(new KeyGroupsSavepointStateHandle(groups(), relative())).build());
    all.putState(2, OperatorSubtaskState.builder().setManagedKeyedState(incremental()).build());
    all.putState(3, OperatorSubtaskState.builder().setManagedKeyedState(changelog()).build());
    OperatorSubtaskState.Builder channels = OperatorSubtaskState.builder();
    StateObjectCollection<InputChannelStateHandle> in = StateObjectCollection.singleton(
        new InputChannelStateHandle(0, new InputChannelInfo(1, 2), relative(), List.of(3L, 4L), 9));
    StateObjectCollection<ResultSubpartitionStateHandle> out = StateObjectCollection.singleton(
        new ResultSubpartitionStateHandle(0, new ResultSubpartitionInfo(1, 2), relative(), List.of(3L), 9));
    Method setIn = null, setOut = null;
    for (Method each : OperatorSubtaskState.Builder.class.getMethods()) {
      if (each.getName().equals("setInputChannelState")) setIn = each;
      if (each.getName().equals("setResultSubpartitionState")) setOut = each;
    }
    setIn.invoke(channels, in);
    setOut.invoke(channels, out);
    all.putState(4, channels.build());
    List<MasterState> hooks = new ArrayList<>(List.of(new MasterState("hook", new byte[] {1, 2, 3}, 2)));
    CheckpointProperties properties = CheckpointProperties.forSavepoint(true, SavepointFormatType.NATIVE);
    OperatorState finished = state("FullyFinishedOperatorState", null, null, new OperatorID(7, 8), 4);
    if (merged) {
      // What older versions hold: everything but merged channel state, the last two handles.
      all.putState(5, OperatorSubtaskState.builder().build());
      for (int version : new int[] {3, 5}) write(base, version, new CheckpointMetadata(9, List.of(all, finished), hooks, properties));
      OperatorSubtaskState.Builder more = OperatorSubtaskState.builder();
      setIn.invoke(more, StateObjectCollection.singleton((StateObject) construct("org.apache.flink.runtime.state.MergedInputChannelStateHandle", 0, file(), 9L, new byte[7])));
      setOut.invoke(more, StateObjectCollection.singleton((StateObject) construct("org.apache.flink.runtime.state.MergedResultSubpartitionStateHandle", 0, relative(), 9L, new byte[5])));
      all.putState(5, more.build());
    } else all.putState(5, FinishedOperatorSubtaskState.INSTANCE);
    Map<OperatorID, OperatorState> states = new HashMap<>();
    states.put(all.getOperatorID(), all);
    states.put(finished.getOperatorID(), finished);
    Path directory = new Path(JOB + "/chk-9");
    FsCompletedCheckpointStorageLocation location = new FsCompletedCheckpointStorageLocation(
        directory.getFileSystem(), directory, new FileStateHandle(new Path(directory, "_metadata"), 4321), directory.toString());
    CompletedCheckpoint checkpoint = new CompletedCheckpoint(new JobID(0, 0xabL << 56 >>> 56), 9, 1000, 2500, states, hooks, properties, location, null);
    Files.write(Paths.get(base + ".completedCheckpoint"), InstantiationUtil.serializeObject(checkpoint));
    CheckpointMetadata metadata = new CheckpointMetadata(9, states.values(), hooks, properties);
    write(base, arguments[1].startsWith("1.") ? 4 : 6, metadata);
    Files.write(Paths.get(base + ".handles.txt"), made);
  }
}
