// Go's net package: a goroutine and a buffer for each connection, on epoll inside the runtime. As many threads run goroutines
// as the process has processors: one, pinned.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

var messages, bytes atomic.Uint64

func echo(peer net.Conn, bufferSize int) {
	defer peer.Close()
	buffer := make([]byte, bufferSize)
	for {
		received, err := peer.Read(buffer)
		if err != nil {
			return
		}
		messages.Add(1)
		bytes.Add(uint64(received))
		if _, err := peer.Write(buffer[:received]); err != nil {
			return
		}
	}
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "IPv4 address and port; port 0 picks a free one")
	bufferSize := flag.Int("buffer", 4096, "bytes that one receive may yield")
	flag.Parse()

	// Accepted connections have TCP_NODELAY, which is the package's default.
	listener, err := net.Listen("tcp4", *listen)
	if err != nil {
		fmt.Fprintln(os.Stderr, "go_echo:", err)
		os.Exit(1)
	}
	fmt.Printf("listening on %s\n", listener.Addr())

	go func() {
		for {
			peer, err := listener.Accept()
			if err == nil {
				go echo(peer, *bufferSize)
			}
		}
	}()

	termination := make(chan os.Signal, 1)
	signal.Notify(termination, syscall.SIGTERM, syscall.SIGINT)
	<-termination
	fmt.Printf("counters: messages=%d bytes=%d\n", messages.Load(), bytes.Load())
}
