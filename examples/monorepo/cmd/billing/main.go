// Command billing is one of the shop's services.
package main

import "example.com/shop/internal/web"

func main() {
	web.Serve("billing", func() map[string]any { return map[string]any{"currency": "EUR"} })
}
