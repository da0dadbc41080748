package static_test

import (
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

func TestParametersAreThoseOfThePackageComment(t *testing.T) {
	plugintest.CheckParameters(t, static.Opener)
}
