// Command greeter is the service under test in examples/ci: it answers with its
// version, and ends at once if it is told to be broken.
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	version := os.Getenv("VERSION")
	if version == "broken" {
		log.Fatal("greeter: this version is broken")
	}
	server := &http.Server{
		Addr:              net.JoinHostPort(os.Getenv("HOST"), os.Getenv("PORT")),
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, "hello from", version)
		}),
	}
	log.Fatal(server.ListenAndServe())
}
