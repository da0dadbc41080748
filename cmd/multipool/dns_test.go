package main_test

import (
	"net"
	"testing"
)

// answerOverUDP serves DNS over UDP alone, which says that each name has the address 127.0.0.1,
// and returns its address.
func answerOverUDP(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { c.Close(); <-ended })
	go func() { // until c is closed
		defer close(ended)
		b := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			const header, typeAndClass, typeA = 12, 4, 1
			end := header
			for end < n && b[end] != 0 { // the name, label by label
				end += int(b[end]) + 1
			}
			if end++; end+typeAndClass > n {
				continue
			}
			isA := b[end] == 0 && b[end+1] == typeA
			answer := append([]byte{}, b[:end+typeAndClass]...)
			answer[2], answer[3] = 0x85, 0x80 // an authoritative answer, without an error
			clear(answer[6:header])           // of records
			if isA {
				answer[7] = 1
				answer = append(answer, 0xc0, header, 0, typeA, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1)
			}
			_, _ = c.WriteTo(answer, from)
		}
	}()
	return c.LocalAddr().String()
}

func TestDoctorTakesAServerOfDNSThatSpeaksUDPOnly(t *testing.T) {
	_, port, err := net.SplitHostPort(listen(t))
	if err != nil {
		t.Fatal(err)
	}
	server := answerOverUDP(t)
	url := "dns://" + server + "/echo.example:" + port
	doctor(t, url+"?transport=udp", 0, "dial", "ok", "1 of 1")
	contains(t, run(t, "doctor", url+"?transport=udp").stdout, "skipped  connect")
	doctor(t, url, 1, "connect", "failed", "connection refused") // it asks over TCP
}
