package thinpool

import (
	"reflect"
	"testing"
)

// TestFindPool finds a pool in what "dmsetup status" of LVM 2.03.16 says.
func TestFindPool(t *testing.T) {
	const text = `hv-pool-tpool: 0 2097152 thin-pool 6 426/4096 270/16384 - rw discard_passdown queue_if_no_space - 1024 
h--v-p--l: 0 2097152 thin-pool 0 10/4096 0/16384 - rw discard_passdown queue_if_no_space - 1024 
other-pool: 0 8 thin-pool Fail
`
	for name, want := range map[string]kernelPool{
		mapped("hv", "pool"): {"hv-pool-tpool", 6}, mapped("h-v", "p-l"): {"h--v-p--l", 0}, mapped("other", "pool"): {}, mapped("h", "v"): {},
	} {
		if got, ok := findPool(text, name); got != want || ok != (want.name != "") {
			t.Errorf("%s: %+v, %t", name, got, ok)
		}
	}
	if _, ok := findPool("No devices found\n", "hv-pool"); ok {
		t.Error("found where there is none")
	}
}

// TestFindUnmade finds what a pool is to make in a group's metadata.
func TestFindUnmade(t *testing.T) {
	const text = `hv {
	logical_volumes {
		pool {
			segment1 {
				transaction_id = 7
				message1 {
					create = "Base-2-0+1"
				}
				message2 {
					delete = 5
				}
			}
		}
	}
}
`
	if got, want := findUnmade(text), []string{"Base-2-0+1"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got := findUnmade("transaction_id = 7\n"); got != nil {
		t.Errorf("%+v", got)
	}
}
