import java.util.*;
import java.util.concurrent.*;
import org.apache.zookeeper.*;
import org.apache.zookeeper.data.*;

/** Makes every kind of transaction on a server: java Znodes HOST:PORT. Its last session stays open
 *  until a line is read from standard input. */
public class Znodes {
  static ZooKeeper connect(String quorum) throws Exception {
    CountDownLatch connected = new CountDownLatch(1);
    ZooKeeper client = new ZooKeeper(quorum, 60000, event -> { if (event.getState() == Watcher.Event.KeeperState.SyncConnected) connected.countDown(); });
    connected.await();
    return client;
  }
  public static void main(String[] arguments) throws Exception {
    List<ACL> open = ZooDefs.Ids.OPEN_ACL_UNSAFE;
    ZooKeeper one = connect(arguments[0]), two = connect(arguments[0]);
    one.create("/flink", new byte[0], open, CreateMode.CONTAINER);
    one.create("/flink/a", "first".getBytes(), open, CreateMode.PERSISTENT);
    for (int i = 0; i < 30; i++) one.setData("/flink/a", ("value " + i).getBytes(), i);
    one.create("/flink/null", null, open, CreateMode.PERSISTENT);
    one.create("/flink/\u00e4 \u20ac", "name".getBytes(), open, CreateMode.PERSISTENT);
    one.create("/flink/stays", "ttl".getBytes(), open, CreateMode.PERSISTENT_WITH_TTL, new Stat(), 3600000);
    one.create("/flink/acl", new byte[0], open, CreateMode.PERSISTENT);
    one.setACL("/flink/acl", Arrays.asList(new ACL(ZooDefs.Perms.READ, ZooDefs.Ids.ANYONE_ID_UNSAFE)), 0);
    for (int i = 0; i < 12; i++) one.create("/flink/a/n-", new byte[i], open, CreateMode.PERSISTENT_SEQUENTIAL);
    one.delete("/flink/a/n-0000000003", -1);
    two.create("/flink/a/two", new byte[0], open, CreateMode.EPHEMERAL);
    two.create("/flink/a/two-", new byte[0], open, CreateMode.EPHEMERAL_SEQUENTIAL);
    one.create("/flink/a/one", "mine".getBytes(), open, CreateMode.EPHEMERAL);
    one.multi(List.of(Op.check("/flink/a", -1), Op.create("/flink/b", "b".getBytes(), open, CreateMode.PERSISTENT),
        Op.create("/flink/b/locks", new byte[0], open, CreateMode.PERSISTENT), Op.create("/flink/b/locks/me", new byte[0], open, CreateMode.EPHEMERAL),
        Op.setData("/flink/a", "by multi".getBytes(), -1), Op.delete("/flink/a/n-0000000004", -1)));
    try { one.multi(List.of(Op.create("/flink/never", new byte[0], open, CreateMode.PERSISTENT), Op.delete("/flink/not-there", -1))); }
    catch (KeeperException expected) { }
    try { one.create("/flink/a", new byte[0], open, CreateMode.PERSISTENT); } catch (KeeperException expected) { }
    two.close();
    one.create("/flink/container", new byte[0], open, CreateMode.CONTAINER);
    one.create("/flink/container/child", "c".getBytes(), open, CreateMode.PERSISTENT);
    for (int i = 0; i < 5; i++) { one.create("/flink/again", new byte[0], open, CreateMode.PERSISTENT); one.delete("/flink/again", -1); }
    System.out.println("made");
    System.in.read();
    one.close();
  }
}
