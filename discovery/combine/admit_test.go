package combine_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/combine"
)

func TestOnlyAdmittedEndpointsAreReported(t *testing.T) {
	var a discovery.Admission
	a.Deny("b")
	synctest.Test(t, func(t *testing.T) {
		watch(t, combine.Admit(newRegistry("a:1", "b:1", "c:1"), a)).after(0, "a:1 c:1")
	})
	a.Allow("no rule")
	v, ok := combine.Admit(newRegistry(), a).(interface{ Validate() error })
	if !ok {
		t.Fatal("it has no Validate")
	}
	if err := v.Validate(); err == nil || !strings.Contains(err.Error(), "no rule") {
		t.Errorf("error %v", err)
	}
}
