package plan

import (
	"testing"

	"ingot/internal/definition"
)

func TestXLConfig(t *testing.T) {
	o := Output{
		Output: definition.Output{Format: "xen", Machine: definition.Machine{CPUs: 2, Memory: 1 << 30}},
		Names:  []string{"web-amd64.xen.raw", "web-amd64.xen.vmlinuz", "web-amd64.xen.initrd", "web-amd64.xen.cfg"},
	}
	const want = `name = "web"
type = "pvh"
kernel = "web-amd64.xen.vmlinuz"
ramdisk = "web-amd64.xen.initrd"
cmdline = "root=UUID=1 ro dyndbg=\"file x +p\""
vcpus = 2
memory = 1024
disk = ["vdev=xvda,format=raw,access=rw,target=web-amd64.xen.raw"]
vif = [""]
`
	if got, err := xlConfig("web", o, `root=UUID=1 ro dyndbg="file x +p"`); err != nil || got != want {
		t.Errorf("xl is told\n%s%v", got, err)
	}
}
