// Command search is one of the shop's services.
package main

import "example.com/shop/internal/web"

func main() {
	web.Serve("search", func() map[string]any { return map[string]any{"indexed": 12} })
}
