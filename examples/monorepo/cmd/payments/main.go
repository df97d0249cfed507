// Command payments is one of the shop's services.
package main

import "example.com/shop/internal/web"

func main() {
	web.Serve("payments", func() map[string]any { return map[string]any{"methods": 4} })
}
