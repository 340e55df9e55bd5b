package main_test

import (
	"os"
	"strings"
	"testing"

	"ingot/internal/judge"
)

// puppetMaster judges the example of a machine from elements: an element of ours on
// diskimage-builder's own. Its scripts and their order are looked at in every run, what
// they do and whether the machine starts in the long one.
func (c *court) puppetMaster(t *testing.T) {
	p := c.project(t, nil)
	if err := os.CopyFS(p.dir, os.DirFS("../../examples/puppet-master")); err != nil {
		t.Fatal(err)
	}
	p.env = []string{
		"ELEMENTS_PATH=" + p.path("elements"), "DIB_RELEASE=bookworm", "DIB_APT_SOURCES_CONF=default:deb http://ftp.debian.org/debian bookworm main",
		"DIB_PUPPET_AUTOSIGN=*.example.org", "INGOT_MIRROR_DEBIAN=" + p.mirror,
	}
	if said := p.must(t, "element", "lint", "puppet-master"); said != "" {
		t.Errorf("lint says\n%s", said)
	}
	judge.Needs(t, judge.Full)
	p.must(t, "disk-image-create", "-n", "-u", "-o", "puppet", "-t", "tar,qcow2", "debian-minimal", "vm", "puppet-master")
	look(t, p, "puppet").want(t, `
		package puppetserver puppet-agent openjdk-17-jre-headless
		unit multi-user.target.wants/puppetserver.service
		file /etc/puppet/autosign.conf 0644 0:0 *.example.org
		file /etc/puppet/code/environments/production/manifests/site.pp 0644 0:0 kept by Puppet
		file /etc/default/puppetserver 0644 0:0 -Xms512m -Xmx512m
		file /etc/passwd 0644 0:0 puppet:x:`)
	for path := range readTar(t, p.path("puppet.tar")) {
		if strings.Contains(path, "/ssl/") && strings.Contains(path, "puppet") {
			t.Errorf("%s is in the image", path)
		}
	}
	p.must(t, "boot", "puppet.qcow2", "--timeout", bootPatience, "--expect", "debian login:")
}
