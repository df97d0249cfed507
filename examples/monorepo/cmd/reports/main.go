// Command reports is one of the shop's services.
package main

import "example.com/shop/internal/web"

func main() {
	web.Serve("reports", func() map[string]any { return map[string]any{"month": "June"} })
}
