// Command carts is one of the shop's services.
package main

import "example.com/shop/internal/web"

func main() {
	web.Serve("carts", func() map[string]any { return map[string]any{"open": 2} })
}
