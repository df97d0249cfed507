// Command stock is one of the shop's services.
package main

import "example.com/shop/internal/web"

func main() {
	web.Serve("stock", func() map[string]any { return map[string]any{"warehouses": 2} })
}
