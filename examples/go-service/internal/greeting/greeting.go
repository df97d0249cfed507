// Package greeting holds what the service says.
package greeting

import "example.test/words"

// Text is the answer to every request.
func Text() string {
	return words.Title("hello from go")
}
