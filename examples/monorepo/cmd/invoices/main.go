// Command invoices is one of the shop's services.
package main

import "example.com/shop/internal/web"

func main() {
	web.Serve("invoices", func() map[string]any { return map[string]any{"unpaid": 1} })
}
