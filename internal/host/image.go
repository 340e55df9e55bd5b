package host

import (
	"slices"

	"ingot/internal/fault"
)

// DefaultTries is how many boots a layer gets to be confirmed in. With less than two a power
// cut while it boots would take it for bad.
const DefaultTries = 3

// An Image is what a base is made of.
type Image struct {
	Name   Name   // the base's
	Digest string // as [Volume.Image]; "" is not known: then nothing is remembered of it
	Size   int64  // of the volume, in bytes
	Needs  int64  // of the pool, in bytes: what will be written
	Kernel int64  // of the boot partition, in bytes
}

// blank says whether a name is free, and the state such that anything may be made.
func (s State) blank(n Name) error {
	if err := s.orderly(); err != nil {
		return err
	}
	v, ok := s.Volume(n)
	switch {
	case ok && v.Building:
		return fault.Newf(fault.Choice, "%s was broken off", n).WithHint("\"ingot host repair\" removes what is not whole")
	case ok:
		return fault.Newf(fault.Choice, "%s is there already", n).WithHint("\"ingot host remove %s\" removes it", n)
	case slices.Contains(s.Foreign, n.String()):
		return fault.Newf(fault.Preflight, "%s is the name of a volume that is no base or layer", n).WithHint("rename that one with lvrename, or choose another name")
	}
	return nil
}

// orderly refuses where every change would fail.
func (s State) orderly() error {
	if len(s.Stuck) > 0 {
		return fault.Newf(fault.Preflight, "the thin pool refuses all changes: it has not noted that it is done with device %d", s.Stuck[0]).
			WithHint("\"ingot host repair\" ends that")
	}
	return nil
}

// Shares of a pool that must stay free, in percent: a pool that is full stops all its volumes,
// and one whose metadata is full cannot even be trimmed.
const (
	freeData = 10
	freeMeta = 25
)

// fits refuses what would fill the pool or the boot partition.
func (s State) fits(needs, kernel int64) error {
	hint := "\"ingot host remove\" makes room; lvextend makes the pool larger"
	switch {
	case s.Pool.Size > 0 && s.Pool.Free-needs < s.Pool.Size/100*freeData:
		return fault.Newf(fault.Preflight, "the thin pool has %d bytes free, of which %d are needed and %d %% of its size must stay", s.Pool.Free, needs, freeData).WithHint("%s", hint)
	case s.Meta.Size > 0 && s.Meta.Free < s.Meta.Size/100*freeMeta:
		return fault.Newf(fault.Preflight, "the thin pool's metadata has %d bytes free, and %d %% must be", s.Meta.Free, freeMeta).WithHint("lvextend --poolmetadatasize +SIZE GROUP/POOL; or remove layers")
	case s.Loader && s.Boot.Size > 0 && s.Boot.Free < kernel:
		return fault.Newf(fault.Preflight, "the boot partition has %d bytes free, and %d are needed", s.Boot.Free, kernel).WithHint("\"ingot host remove\" makes room")
	}
	return nil
}

// Add makes a base of an image: nothing boots it.
func (s State) Add(i Image) ([]Step, error) {
	if i.Name.Layer != 0 {
		return nil, fault.Newf(fault.Usage, "%s is the name of a layer, not of a base", i.Name)
	}
	if i.Size <= 0 {
		return nil, fault.Newf(fault.Usage, "a volume of %d bytes: the size of base %s is not known", i.Size, i.Name).WithHint("give one with --size")
	}
	if err := s.blank(i.Name); err != nil {
		return nil, err
	}
	if err := s.fits(i.Needs, 0); err != nil {
		return nil, err
	}
	return []Step{
		{Do: Create, Name: i.Name, Size: i.Size, Image: i.Digest},
		{Do: Fill, Name: i.Name},
		{Do: Seal, Name: i.Name},
	}, nil
}

// Init makes the first base of a volume that others made, and a layer of it, which the
// loader tries. The volume stays as it is.
func (s State) Init(name Name, volume string, kernel int64) ([]Step, error) {
	if name.Layer != 0 {
		return nil, fault.Newf(fault.Usage, "%s is the name of a layer, not of a base", name)
	}
	if there := append(s.Bases(), s.Layers()...); len(there) > 0 {
		return nil, fault.Newf(fault.Choice, "the host has %s already", there[0]).WithHint("\"imgbase base --add\" adds a base to it")
	}
	if err := s.blank(name); err != nil {
		return nil, err
	}
	if err := s.fits(0, kernel); err != nil {
		return nil, err
	}
	steps := []Step{
		{Do: Adopt, From: volume},
		{Do: Snapshot, Name: name, From: volume},
		{Do: Seal, Name: name},
	}
	layer := name
	layer.Layer = 1
	steps = append(steps, derive(layer, name, Name{}, "")...)
	return s.arm(steps, layer, DefaultTries), nil
}

// nextLayer is the name of the next layer of a base. Numbers are not used again, while
// anything has a higher one.
func (s State) nextLayer(base Name) Name {
	n := base.Base()
	last := 0
	for _, v := range s.Volumes {
		if v.Name.Base() == n {
			last = max(last, v.Name.Layer)
		}
	}
	for _, k := range s.Kernels {
		if k.Layer.Base() == n {
			last = max(last, k.Layer.Layer)
		}
	}
	n.Layer = last + 1
	return n
}

// derive are the steps that make a layer.
func derive(layer, of, etc Name, image string) []Step {
	return []Step{
		{Do: Snapshot, Name: layer, Of: of, Image: image},
		{Do: Merge, Name: layer, Of: etc},
		{Do: Finish, Name: layer},
	}
}

// arm lets the loader try a layer, where there is one.
func (s State) arm(steps []Step, layer Name, tries int) []Step {
	if !s.Loader {
		return steps
	}
	return append(append(steps, s.tidy()...),
		Step{Do: Copy, Name: layer},
		Step{Do: Enter, Entry: Entry{Seq: s.nextSeq(), Layer: layer, Counted: true, Left: tries}})
}

// tidy are the steps that take from the boot partition what was broken off there. They come before
// any that writes there: a power cut may have left names whose clusters FAT has as free, and once
// those are another file's, to remove the one would destroy the other.
func (s State) tidy() []Step {
	var steps []Step
	if len(s.Litter) > 0 {
		steps = append(steps, Step{Do: Sweep})
	}
	for _, k := range s.Kernels {
		if !k.Whole && len(s.entriesOf(k.Layer)) == 0 {
			steps = append(steps, Step{Do: Drop, Name: k.Layer})
		}
	}
	return steps
}

// Derive makes a layer of a base or of another layer. What persists of the layer etc is
// carried over to it; none is a layer as its origin is. Nothing boots it, until a rollback to
// it is asked for.
func (s State) Derive(of, etc Name) (Name, []Step, error) {
	from, ok := s.Volume(of)
	if !ok || !s.whole(of) {
		return Name{}, nil, s.missing(of)
	}
	if !etc.IsZero() && !s.whole(etc) {
		return Name{}, nil, s.missing(etc)
	}
	layer := s.nextLayer(of)
	if err := s.blank(layer); err != nil {
		return Name{}, nil, err
	}
	if err := s.fits(0, 0); err != nil {
		return Name{}, nil, err
	}
	return layer, derive(layer, of, etc, from.Image), nil
}

// missing is why a base or layer cannot be used.
func (s State) missing(n Name) error {
	v, ok := s.Volume(n)
	switch {
	case !ok:
		return fault.Newf(fault.NotFound, "there is no %s", n).WithHint("\"ingot host status\" lists what there is")
	case v.Retired:
		return fault.Newf(fault.NotFound, "%s is being removed", n).WithHint("\"ingot host repair\" removes the rest of it")
	}
	return fault.Newf(fault.NotFound, "%s is not whole", n).WithHint("\"ingot host repair\" removes what is not whole")
}

// An Update is what is to come.
type Update struct {
	Image Image
	Tries int  // 0 is [DefaultTries]
	Older bool // an image that is older than what runs is wanted
	Again bool // an image that did not boot is wanted
}

// Update makes a base of an image and a layer of it, to which what persists of the running
// layer is carried over, and lets the loader try it. Where the image is what would boot,
// there are no steps.
func (s State) Update(u Update) (Name, []Step, error) {
	tries, err := triesOr(u.Tries)
	if err != nil {
		return Name{}, nil, err
	}
	if next, ok := s.Boots(); ok && s.isOf(next, u.Image) {
		return next, nil, nil
	}
	if s.Loader && !s.standing() {
		return Name{}, nil, s.unconfirmed()
	}
	if slices.Contains(s.Bad, u.Image.Digest) && !u.Again {
		return Name{}, nil, fault.Newf(fault.Health, "image %s did not boot on this host", u.Image.Digest).WithHint("\"ingot host update --again\" tries it once more")
	}
	if running := s.Booted.Base(); !s.Booted.IsZero() && u.Image.Name.Name == running.Name && u.Image.Name.Compare(running) < 0 && !u.Older {
		return Name{}, nil, fault.Newf(fault.Choice, "%s is older than %s, which runs", u.Image.Name, running).WithHint("\"ingot host rollback\" goes back to a layer that is there; --older takes an older image")
	}
	var steps []Step
	if slices.Contains(s.Bad, u.Image.Digest) {
		steps = append(steps, Step{Do: Absolve, Image: u.Image.Digest})
	}
	needs := u.Image.Needs
	if !s.HasBase(u.Image) {
		added, err := s.Add(u.Image)
		if err != nil {
			return Name{}, nil, err
		}
		steps = append(steps, added...)
	} else if needs = 0; s.orderly() != nil { // it is written already
		return Name{}, nil, s.orderly()
	}
	if err := s.fits(needs, u.Image.Kernel); err != nil {
		return Name{}, nil, err
	}
	layer := s.nextLayer(u.Image.Name)
	if err := s.blank(layer); err != nil {
		return Name{}, nil, err
	}
	steps = append(steps, derive(layer, u.Image.Name, s.Booted, u.Image.Digest)...)
	return layer, s.arm(steps, layer, tries), nil
}

// triesOr is how many boots a layer gets: the default for 0.
func triesOr(tries int) (int, error) {
	switch {
	case tries == 0:
		return DefaultTries, nil
	case tries < 1 || tries > 99:
		return 0, fault.Newf(fault.Usage, "%d tries: neither 1 to 99", tries)
	case tries == 1:
		return 0, fault.Newf(fault.Usage, "one try: a power cut while it boots would take the image for bad").WithHint("give two tries or more")
	}
	return tries, nil
}

// Replace makes another layer of what runs, or of its base, and lets the loader try it in its
// place. What is to be other in it is the merge's to know. Kernel is as in [Image].
func (s State) Replace(of Name, tries int, kernel int64) (Name, []Step, error) {
	tries, err := triesOr(tries)
	if err != nil {
		return Name{}, nil, err
	}
	if !s.Loader {
		return Name{}, nil, fault.Newf(fault.Preflight, "there is no boot loader whose entries could be changed")
	}
	if !s.standing() {
		return Name{}, nil, s.unconfirmed()
	}
	if next, ok := s.Boots(); !ok || next != s.Booted {
		return Name{}, nil, fault.Newf(fault.Choice, "%s runs, and the host boots another layer next", s.Booted).
			WithHint("boot that and confirm it, or \"ingot host rollback --to %s\"", s.Booted)
	}
	from, ok := s.Volume(of)
	if !ok || !s.whole(of) {
		return Name{}, nil, s.missing(of)
	}
	layer := s.nextLayer(of)
	if err := s.blank(layer); err != nil {
		return Name{}, nil, err
	}
	if err := s.fits(0, kernel); err != nil {
		return Name{}, nil, err
	}
	return layer, s.arm(derive(layer, of, Name{}, from.Image), layer, tries), nil
}

// isOf says whether a layer is of an image.
func (s State) isOf(layer Name, i Image) bool {
	v, ok := s.Volume(layer)
	return ok && layer.Base() == i.Name && v.Image == i.Digest && s.whole(layer)
}

// HasBase says whether an image's base is there, as after an update that was only added or
// whose end was broken off: then nothing has to be fetched.
func (s State) HasBase(i Image) bool {
	v, ok := s.Volume(i.Name)
	return ok && s.whole(i.Name) && i.Digest != "" && v.Image == i.Digest
}
