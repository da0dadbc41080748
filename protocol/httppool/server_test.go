package httppool

func serveIfAsked() {}
