// Command service answers each HTTP request with a greeting and the version it was stamped with.
package main

import (
	_ "embed"
	"encoding/json"
	"log"
	"net/http"

	"example.test/service/internal/greeting"
)

//go:embed version.txt
var version string

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		answer := map[string]string{"greeting": greeting.Text(), "version": version}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			log.Print(err)
		}
	})
	log.Fatal(http.ListenAndServe(":8080", nil))
}
