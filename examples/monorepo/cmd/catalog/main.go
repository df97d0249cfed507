// Command catalog is one of the shop's services.
package main

import "example.com/shop/internal/web"

func main() {
	web.Serve("catalog", func() map[string]any { return map[string]any{"articles": 12} })
}
