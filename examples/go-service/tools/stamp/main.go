// Command stamp writes its first argument into the file named by its second.
package main

import (
	"log"
	"os"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: stamp TEXT FILE")
	}
	if err := os.WriteFile(os.Args[2], []byte(os.Args[1]), 0o644); err != nil {
		log.Fatal(err)
	}
}
