// SPDX-License-Identifier: GPL-2.0-or-later
// A static Go program that opens a connection by net.Dial and keeps it.
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
