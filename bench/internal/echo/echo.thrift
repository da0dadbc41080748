namespace go echo

// Echo is the least a server can do: what it costs is the way there and back.
service Echo {
  binary echo(1: binary payload)
}
