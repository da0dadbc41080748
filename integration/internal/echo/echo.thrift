namespace go echo

struct Reply {
  // The address of the server that answered.
  1: string server
  2: binary payload
}

service Echo {
  Reply echo(1: binary payload)
}
