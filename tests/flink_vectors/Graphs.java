import org.apache.flink.streaming.api.environment.*;
import org.apache.flink.streaming.api.graph.*;
import org.apache.flink.api.common.functions.*;
import org.apache.flink.configuration.*;
import org.apache.flink.util.InstantiationUtil;
import org.apache.flink.runtime.jobgraph.*;
import java.nio.file.*;
import java.util.*;
public class Graphs {
  public static void main(String[] a) throws Exception {
    Configuration c = new Configuration();
    c.setString("execution.checkpointing.interval", "7 s");
    c.setString("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
    c.setString("execution.checkpointing.dir", "file:///srv/flink/checkpoints");
    StreamGraph g = build(c);
    for (var n : g.getStreamNodes()) System.out.println(n.getId()+" "+n.getOperatorName()+" "+n.getParallelism()+" "+n.getTransformationUID());
    JobGraph jg = g.getJobGraph();
    jg.setSavepointRestoreSettings(g.getSavepointRestoreSettings());
    System.out.println(jg.getJobID());
    for (JobVertex v : jg.getVertices()) { System.out.println(v.getID()+" "+v.getName()+" "+v.getParallelism()); for (var p : v.getOperatorIDs()) System.out.println("   "+p.getGeneratedOperatorID()+" "+p.getUserDefinedOperatorID()); }
    Files.write(Path.of(a[0] + ".jobgraph"), InstantiationUtil.serializeObject(jg));
    try {
      g = build(c);
      try { g.getClass().getMethod("setJobId", org.apache.flink.api.common.JobID.class).invoke(g, jg.getJobID()); } catch (NoSuchMethodException e) { }
      g.getClass().getMethod("serializeUserDefinedInstances").invoke(g);
      Files.write(Path.of(a[0] + ".streamgraph"), InstantiationUtil.serializeObject(g));
    } catch (NoSuchMethodException e) { System.out.println("no streamgraph"); }
  }
  static StreamGraph build(Configuration c) {
    StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(c);
    env.setParallelism(3);
    env.fromSequence(0, 1000000).uid("the-source").name("numbers \u00e4\ud83d\ude00")
       .keyBy(x -> x % 7).reduce((ReduceFunction<Long>) (x, y) -> x + y).setParallelism(2).name("sum")
       .print().name("away");
    StreamGraph g = env.getStreamGraph();
    g.setJobName("seventh \u00e4");
    g.setSavepointRestoreSettings(SavepointRestoreSettings.forPath("file:/srv/flink/savepoints/savepoint-1", true));
    return g;
  }
}
