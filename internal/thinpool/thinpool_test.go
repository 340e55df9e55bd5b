package thinpool

import (
	"os"
	"reflect"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/host"
)

// TestRead reads what lvs of LVM 2.03.16 says of a host.
func TestRead(t *testing.T) {
	data, err := os.ReadFile("testdata/lvs.json")
	if err != nil {
		t.Fatal(err)
	}
	all, err := parse(data)
	if err != nil {
		t.Fatal(err)
	}
	s, err := find(all)
	if err != nil || *s != (Store{Group: "hv", Pool: "pool"}) {
		t.Fatal(s, err)
	}
	var st host.State
	if err := s.read(all, &st, 253, 5); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range st.Volumes {
		names = append(names, v.Name.String())
		if v.Size != 512<<20 || v.Writable != (v.Name.Layer > 0) || v.Building {
			t.Errorf("%+v", v)
		}
	}
	if want := []string{"Base-1-0", "Base-1-0+1", "Base-2-0", "Base-2-0+1", "Base-2-0+2"}; !reflect.DeepEqual(names, want) {
		t.Error(names)
	}
	if st.Booted.String() != "Base-1-0+1" || st.Pool.Size != 1<<30 || st.Pool.Free != 1<<30-17716740 || st.Meta.Size != 16<<20 {
		t.Errorf("%s, %+v, %+v", st.Booted, st.Pool, st.Meta)
	}
	if want := []string{"[lvol0_pmspare]", "[pool_tdata]", "[pool_tmeta]", "root"}; !reflect.DeepEqual(st.Foreign, want) {
		t.Error(st.Foreign)
	}
	if _, err := find(append(all, volume{Group: "other", GroupTags: host.TagGroup, Name: "p", Tags: host.TagPool, Attr: "twi-aotz--"})); fault.CodeOf(err) != fault.Choice {
		t.Error(err)
	}
	if _, err := find(nil); fault.CodeOf(err) != fault.Preflight {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	data, err := os.ReadFile("testdata/lvs.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"report":[{"lv":[{"lv_name":"a-1-1","lv_tags":"imgbased:base","lv_attr":"V","pool_lv":"","lv_size":"x"}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := parse(data)
		if err != nil {
			return
		}
		s, err := find(all)
		if err != nil {
			s = &Store{}
		}
		var st host.State
		if s.read(all, &st, 1, 2) == nil {
			st.Check()
			st.Repair()
		}
	})
}
