// Package web is what all services share: one way to serve and to answer.
package web

import (
	"encoding/json"
	"log"
	"net/http"
)

// Greeting is in every answer; changing it changes every service.
const Greeting = "hello"

// Serve answers every request on port 8080 with JSON that names the service and holds what answer gives.
func Serve(service string, answer func() map[string]any) {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body := map[string]any{"service": service, "greeting": Greeting}
		for name, value := range answer() {
			body[name] = value
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(body)
	})
	log.Fatal(http.ListenAndServe(":8080", nil))
}
