// The service that the examples, the tests and the benchmarks call.

namespace go echo

exception EchoError {
  1: string message
}

struct Message {
  1: required string text
  2: optional list<i64> numbers
  // The address of the server that answered.
  3: optional string server
}

service Echo {
  // echo answers s, or throws EchoError when s begins with "throw".
  string echo(1: string s) throws (1: EchoError e)

  // echoBinary answers its argument. No service does less.
  binary echoBinary(1: binary payload)

  // add answers a + b.
  i64 add(1: i64 a, 2: i64 b)

  // send answers its argument.
  Message send(1: Message m) throws (1: EchoError e)

  void ping()

  // note has no reply.
  oneway void note(1: string s)
}
