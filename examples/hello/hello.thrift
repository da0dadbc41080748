namespace go hello

// The service of this library's first version.
service RpcService {
  void helloWorld(1: string name)
}
