import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;

import org.apache.thrift.TApplicationException;
import org.apache.thrift.TException;
import org.apache.thrift.TProcessor;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.protocol.TField;
import org.apache.thrift.protocol.TMessage;
import org.apache.thrift.protocol.TMessageType;
import org.apache.thrift.protocol.TProtocol;
import org.apache.thrift.protocol.TProtocolUtil;
import org.apache.thrift.protocol.TStruct;
import org.apache.thrift.protocol.TType;
import org.apache.thrift.server.TThreadPoolServer;
import org.apache.thrift.transport.TServerSocket;
import org.apache.thrift.transport.layered.TFramedTransport;

/**
 * Serves echo and ping of ../../echo/echo.thrift by Apache's TThreadPoolServer.
 *
 * The argument is the number of threads. The port is printed. Ends with its input.
 */
public class Server {
    static class Echo implements TProcessor {
        @Override
        public void process(TProtocol in, TProtocol out) throws TException {
            TMessage m = in.readMessageBegin();
            String text = null;
            in.readStructBegin();
            for (TField f = in.readFieldBegin(); f.type != TType.STOP; f = in.readFieldBegin()) {
                if (f.type == TType.STRING) {
                    text = in.readString();
                } else {
                    TProtocolUtil.skip(in, f.type);
                }
                in.readFieldEnd();
            }
            in.readStructEnd();
            in.readMessageEnd();
            if (!m.name.equals("echo") && !m.name.equals("ping")) {
                out.writeMessageBegin(new TMessage(m.name, TMessageType.EXCEPTION, m.seqid));
                new TApplicationException(TApplicationException.UNKNOWN_METHOD, m.name).write(out);
            } else {
                out.writeMessageBegin(new TMessage(m.name, TMessageType.REPLY, m.seqid));
                out.writeStructBegin(new TStruct("result"));
                if (m.name.equals("echo")) {
                    out.writeFieldBegin(new TField("success", TType.STRING, (short) 0));
                    out.writeString(text);
                    out.writeFieldEnd();
                }
                out.writeFieldStop();
                out.writeStructEnd();
            }
            out.writeMessageEnd();
            out.getTransport().flush();
        }
    }

    public static void main(String[] args) throws Exception {
        int threads = Integer.parseInt(args[0]);
        ServerSocket socket = new ServerSocket();
        socket.bind(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0));
        Thread end = new Thread(() -> {
            try {
                while (System.in.read() >= 0) { }
            } catch (java.io.IOException e) {
                // the input has ended
            }
            Runtime.getRuntime().halt(0);
        });
        end.setDaemon(true);
        end.start();
        TThreadPoolServer server = new TThreadPoolServer(new TThreadPoolServer.Args(
            new TServerSocket(new TServerSocket.ServerSocketTransportArgs().serverSocket(socket)))
            .processor(new Echo())
            .transportFactory(new TFramedTransport.Factory())
            .protocolFactory(new TBinaryProtocol.Factory())
            .minWorkerThreads(threads).maxWorkerThreads(threads));
        System.out.println(socket.getLocalPort());
        server.serve();
    }
}
