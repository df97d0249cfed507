// Command orders is one of the shop's services.
package main

import "example.com/shop/internal/web"

func main() {
	web.Serve("orders", func() map[string]any { return map[string]any{"today": 7} })
}
