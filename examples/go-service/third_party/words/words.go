// Package words stands for a dependency: no module proxy is needed to build this example.
package words

import "strings"

// Title makes the first letter of each word a capital.
func Title(text string) string {
	fields := strings.Fields(text)
	for i, field := range fields {
		fields[i] = strings.ToUpper(field[:1]) + field[1:]
	}
	return strings.Join(fields, " ")
}
