// Package option applies the options of a plugin.
package option

import (
	"errors"
	"fmt"
)

// Apply applies opts to c. The error names each that is nil by its position.
func Apply[C any, O ~func(*C)](c *C, opts []O) error {
	var errs []error
	for i, o := range opts {
		if o == nil {
			errs = append(errs, fmt.Errorf("option %d is nil", i+1))
			continue
		}
		o(c)
	}
	return errors.Join(errs...)
}
