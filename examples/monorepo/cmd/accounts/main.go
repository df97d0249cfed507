// Command accounts is one of the shop's services.
package main

import "example.com/shop/internal/web"

func main() {
	web.Serve("accounts", func() map[string]any { return map[string]any{"customers": 3} })
}
