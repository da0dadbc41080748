import java.util.*;
import org.apache.curator.framework.*;
import org.apache.curator.retry.*;
import org.apache.curator.x.discovery.*;
import org.apache.curator.x.discovery.details.*;

/** Registers and finds servers with Apache Curator's service discovery: see interop/peer. */
public class Curator {
  public static void main(String[] args) throws Exception {
    CuratorFramework client = CuratorFrameworkFactory.newClient(args[1].substring("zk://".length()), 10000, 10000, new ExponentialBackoffRetry(100, 10));
    client.start();
    client.blockUntilConnected();
    ServiceDiscovery<Object> discovery = ServiceDiscoveryBuilder.builder(Object.class).client(client).basePath("/curator")
        .serializer(new JsonInstanceSerializer<>(Object.class)).build();
    discovery.start();
    if (args[0].equals("register")) {
      int colon = args[3].lastIndexOf(':');
      Map<String, Object> payload = new LinkedHashMap<>();
      payload.put("weight", args[4]);
      payload.put("zone", args[5]);
      ServiceInstance<Object> instance = ServiceInstance.<Object>builder().name(args[2]).id("id-" + args[3])
          .address(args[3].substring(0, colon)).port(Integer.parseInt(args[3].substring(colon + 1))).payload(payload).build();
      discovery.registerService(instance);
      System.out.println("registered");
      while (System.in.read() >= 0) {}
      discovery.unregisterService(instance);
      discovery.close();
      client.close();
      return;
    }
    String before = "";
    for (;; Thread.sleep(200)) {
      StringJoiner set = new StringJoiner(",", "[", "]");
      TreeMap<String, String> sorted = new TreeMap<>();
      for (ServiceInstance<Object> i : discovery.queryForInstances(args[2])) {
        Map<?, ?> meta = i.getPayload() instanceof Map ? (Map<?, ?>) i.getPayload() : Map.of();
        if (meta.get("metadata") instanceof Map) meta = (Map<?, ?>) meta.get("metadata");
        String addr = i.getAddress() + ":" + i.getPort();
        sorted.put(addr, "{\"Addr\":\"" + addr + "\",\"Weight\":" + (meta.get("weight") == null ? "0" : meta.get("weight"))
            + ",\"Zone\":\"" + (meta.get("zone") == null ? "" : meta.get("zone")) + "\"}");
      }
      sorted.values().forEach(set::add);
      if (!set.toString().equals(before)) System.out.println(before = set.toString());
    }
  }
}
