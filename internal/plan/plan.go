// Package plan turns a definition and its lock into steps, and runs them.
//
// A [Plan] is complete before anything runs: each step has a key, the digest of
// all that it reads, and the key of the step before is one of these. A step whose
// key the cache knows does not run; its result, a tree delta, is applied instead.
// So a change of one script runs that script and what follows it, and nothing
// else.
//
// The steps of one image stand in a chain: install, system, users, files,
// services, scripts, settle. All but the last work in a sandbox; settle is pure
// data and the only one that knows the lock's identity (UUIDs, boot
// configuration), so that what does not concern a step does not run it again.
// Outputs hang on the end of a chain and share everything before.
package plan

import (
	"context"
	"encoding/json"
	"fmt"

	"ingot/internal/definition"
	"ingot/internal/digest"
	"ingot/internal/distro"
	"ingot/internal/lock"
	"ingot/internal/supply"
)

// A Plan is what a build will do. Each chain has a definition of its own, and what chains
// have in common they share by the keys of their steps.
type Plan struct {
	Definition *definition.Definition
	Lock       *lock.Lock
	Chains     []Chain

	several bool // it is a part of one that has more chains
}

// A Chain makes one tree and the outputs of it.
type Chain struct {
	Definition *definition.Definition // the variant whose image it is

	Arch    string
	Purpose string // one of package format's
	Set     lock.Set
	Steps   []Step
	Outputs []Output
}

// Of is the plan of one of its chains alone: a definition that knows no flavors but its
// own, and its lock.
func (p *Plan) Of(c Chain) *Plan {
	return &Plan{Definition: c.Definition, Lock: p.Lock, Chains: []Chain{c}, several: p.several || len(p.Chains) > 1}
}

// seal is what a lock says of the chain's tree.
func (c Chain) seal(sum digest.Digest) lock.Seal {
	return lock.Seal{Arch: c.Arch, Purpose: c.Purpose, Flavor: c.Set.Flavor, SHA256: sum}
}

// A Step is one part of a chain.
type Step struct {
	Name string        // for people and programs: "install", "script setup"
	Key  digest.Digest // of all that the step reads
	// Exactly one of these is set. work changes the tree in the sandbox; data
	// changes it as a value.
	work func(ctx context.Context, w *worker) error
	data func(e *edit) error
	// light steps are many and short: not each one's result is kept (see [worker.perform]).
	light bool
	// phase is that of an element whose scripts the step is of; "" is none.
	phase string
}

// An Output is one artifact of a chain.
type Output struct {
	definition.Output
	Names []string // of its files: "web-amd64.qcow2"; the first stands for all
	// Drives are those of the names that are further disks of the same machine.
	Drives []string
	Key    digest.Digest // of the chain's last step and the output's own options
	// Anew says that it is made by each build, as nothing is kept of secrets that all
	// of it depends on.
	Anew bool
	// Secrets are the files that its bytes depend on as well.
	Secrets []string
	// Enrolled are its containers whose key everybody knows who has the image, until a
	// machine's first start makes another.
	Enrolled []string
}

// Name is that of the first of the output's files.
func (o Output) Name() string { return o.Names[0] }

// generation enters every key: raise it when a change of ingot changes what steps
// do.
const generation = 7

// keyOf is the key of a step: its kind, the key before and what it reads, as JSON.
func keyOf(kind string, before digest.Digest, reads any) digest.Digest {
	return digestOf(generation, supply.Form, kind, before, reads)
}

// identityOf is what identities in an image are derived from. It stays as it is when steps change:
// one lock gives disks of the same names, whichever ingot builds them.
func identityOf(kind string, before digest.Digest, reads any) digest.Digest {
	return digestOf(6, 2, kind, before, reads) // as they were when the first were given
}

func digestOf(generation, form int, kind string, before digest.Digest, reads any) digest.Digest {
	data, err := json.Marshal(struct {
		Generation int
		Form       int // of unpacked packages, whose packs step results point into
		Kind       string
		Before     digest.Digest
		Reads      any
	}{generation, form, kind, before, reads})
	if err != nil {
		panic(fmt.Sprintf("plan: the inputs of step %s have no JSON form: %v", kind, err)) // a mistake in this package
	}
	return digest.Of(data)
}

// refIDs is what an install step reads of packages: who they are, not where they
// lie.
func refIDs(refs []distro.Ref) []string {
	out := make([]string, len(refs))
	for i, r := range refs {
		out[i] = r.Name + " " + r.Version + " " + r.Arch + " " + r.SHA256.String()
	}
	return out
}
