"""Serves echo and ping of ../../echo/echo.thrift by Apache's TThreadPoolServer.

The argument is the number of threads. The port is printed. Ends with its input.
"""

import os
import sys
import threading

from thrift.Thrift import TApplicationException, TMessageType, TType
from thrift.protocol.TBinaryProtocol import TBinaryProtocolFactory
from thrift.server.TServer import TThreadPoolServer
from thrift.transport.TSocket import TServerSocket
from thrift.transport.TTransport import TFramedTransportFactory


class Echo:
    def process(self, iprot, oprot):
        name, _, seq = iprot.readMessageBegin()
        text = None
        iprot.readStructBegin()
        while True:
            _, kind, _ = iprot.readFieldBegin()
            if kind == TType.STOP:
                break
            if kind == TType.STRING:
                text = iprot.readString()
            else:
                iprot.skip(kind)
            iprot.readFieldEnd()
        iprot.readStructEnd()
        iprot.readMessageEnd()
        if name not in ("echo", "ping"):
            oprot.writeMessageBegin(name, TMessageType.EXCEPTION, seq)
            TApplicationException(TApplicationException.UNKNOWN_METHOD, name).write(oprot)
        else:
            oprot.writeMessageBegin(name, TMessageType.REPLY, seq)
            oprot.writeStructBegin("result")
            if name == "echo":
                oprot.writeFieldBegin("success", TType.STRING, 0)
                oprot.writeString(text)
                oprot.writeFieldEnd()
            oprot.writeFieldStop()
            oprot.writeStructEnd()
        oprot.writeMessageEnd()
        oprot.trans.flush()


class Socket(TServerSocket):
    def listen(self):
        TServerSocket.listen(self)
        print(self.handle.getsockname()[1], flush=True)


def end():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end, daemon=True).start()
server = TThreadPoolServer(Echo(), Socket("127.0.0.1", 0), TFramedTransportFactory(), TBinaryProtocolFactory(), daemon=True)
server.setNumThreads(int(sys.argv[1]))
server.serve()
