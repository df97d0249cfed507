// Command mailer is one of the shop's services.
package main

import "example.com/shop/internal/web"

func main() {
	web.Serve("mailer", func() map[string]any { return map[string]any{"queue": 0} })
}
