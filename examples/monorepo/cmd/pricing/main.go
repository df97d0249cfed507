// Command pricing is one of the shop's services.
package main

import "example.com/shop/internal/web"

func main() {
	web.Serve("pricing", func() map[string]any { return map[string]any{"discount": 0.15} })
}
