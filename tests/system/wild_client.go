// SPDX-License-Identifier: GPL-2.0-or-later
// What a static Go program does that keeps a connection: net.Dial, and nothing else.
package main

import (
	"net"
	"os"
	"time"
)

func main() {
	connection, err := net.Dial("tcp", os.Args[1])
	if err != nil {
		panic(err)
	}
	defer connection.Close()
	time.Sleep(time.Minute)
}
