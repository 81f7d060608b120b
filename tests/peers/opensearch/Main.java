// SPDX-License-Identifier: Apache-2.0
// One node of OpenSearch in this process: Main FOLDER HTTP-PORT TRANSPORT-PORT.
import org.codelibs.opensearch.runner.OpenSearchRunner;

public final class Main {
    public static void main(String[] args) throws Exception {
        OpenSearchRunner runner = new OpenSearchRunner();
        try {
            runner.onBuild((number, settings) -> {
                settings.put("http.port", args[1]);
                settings.put("transport.port", args[2]);
                settings.put("network.host", "127.0.0.1");
                settings.put("discovery.type", "single-node");
                settings.put("cluster.routing.allocation.disk.threshold_enabled", "false");
            }).build(OpenSearchRunner.newConfigs().basePath(args[0]).numOfNode(1).clusterName("tenon").disableESLogger());
        } catch (Throwable e) {
            e.printStackTrace();
            System.exit(1);
        }
        Thread.currentThread().join();
    }
}
