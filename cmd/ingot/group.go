package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
	"ingot/internal/flavor"
	"ingot/internal/group"
	"ingot/internal/input"
	"ingot/internal/place"
	"ingot/internal/repository"
	"ingot/internal/sign"
	"ingot/internal/store"
)

// The environment's names for what group verbs are not told.
const (
	repositoryVariable = "INGOT_REPOSITORY"
	labelVariable      = "INGOT_LABEL"
	passphraseVariable = "INGOT_KEY_PASSPHRASE"
)

// ownLabel is the label of versions that nobody gave one.
const ownLabel = "local@groups:main"

func newGroupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "group",
		Short: "Keep what was built under a version, and find it again",
		Long: `A group is a lock with its seals: it names every file of every flavor. 'group
commit' puts it into a repository under the next version, with all that it takes
to build it again without a network, years later.

A repository is a directory, s3://BUCKET/PREFIX or oci://HOST/NAME: --from or
--to, else INGOT_REPOSITORY, else the directory groups of INGOT_HOME. A spec names
a version: NAME, NAME=VERSION, NAME[FLAVOR] or NAME=VERSION[FLAVOR]; a version may
be whole or any part that tells it apart.`,
		GroupID: groupKeep,
	}
	cmd.AddCommand(newGroupCommitCommand(), newGroupListCommand(), newGroupShowCommand(), newGroupFilesCommand(), newGroupFindCommand(),
		newGroupCheckoutCommand(), newGroupPromoteCommand(), newGroupCloneCommand(), newGroupRemoveCommand(), newGroupCollectCommand(), newGroupDeltaCommand(), newGroupApplyCommand(), newGroupPapersCommand())
	return cmd
}

// repositoryFlags say where groups are read from.
type repositoryFlags struct {
	from     string
	keys     []string
	unsigned bool
	older    bool
	labels   []string
	json     bool
}

func (f *repositoryFlags) add(cmd *cobra.Command) {
	f.addPlace(cmd)
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
}

// addPlace is for verbs that may read a repository, and have more to do.
func (f *repositoryFlags) addPlace(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.from, "from", "", "`repository` to read: a directory, s3://BUCKET/PREFIX or oci://HOST/NAME")
	cmd.Flags().StringArrayVar(&f.keys, "key", nil, "believe only what a key of this `file` signed; may be repeated")
	cmd.Flags().BoolVar(&f.unsigned, "unsigned", false, "believe whoever can write to the repository")
}

// addSpec is for verbs that take a spec and believe what it names.
func (f *repositoryFlags) addSpec(cmd *cobra.Command) {
	f.add(cmd)
	f.addFresh(cmd)
}

func (f *repositoryFlags) addFresh(cmd *cobra.Command) {
	f.addLabels(cmd)
	cmd.Flags().BoolVar(&f.older, "accept-older", false, "take a version that is older than one seen before, or past its date")
}

func (f *repositoryFlags) addLabels(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.labels, "label", nil, "look on this `label`, HOST@NAMESPACE:TAG; may be repeated, the first that has a result counts")
}

// openPlace opens the place that a flag, the environment or the home names.
func openPlace(text string) (place.Place, error) {
	if text == "" {
		text = environ(repositoryVariable)
	}
	if text == "" {
		home, _, err := dirs()
		if err != nil {
			return nil, err
		}
		text = filepath.Join(home, "groups")
	}
	return place.Open(text, environ)
}

// open opens the repository.
func (f *repositoryFlags) open() (*repository.Repository, error) { return f.openAt(f.from) }

func (f *repositoryFlags) openAt(text string) (*repository.Repository, error) {
	p, err := openPlace(text)
	if err != nil {
		return nil, err
	}
	r, err := repositoryAt(p)
	if err != nil {
		return nil, err
	}
	r.Accept = f.older
	if r.Keys, err = f.trusted(); err != nil {
		return nil, err
	}
	if r.Keys == nil && p.Remote() && !f.unsigned {
		return nil, fault.Newf(fault.Verification, "no key is known that %s must be signed by", p).
			WithHint("give one with --key, put one into %s, or say --unsigned to believe whoever can write there", "$INGOT_HOME/keys/NAME.asc")
	}
	return r, nil
}

// repositoryAt is the repository in a place, with what this machine has seen of it.
func repositoryAt(p place.Place) (*repository.Repository, error) {
	home, _, err := dirs()
	return &repository.Repository{Place: p, Now: now, Seen: filepath.Join(home, "seen", "groups")}, err
}

// trusted are the keys of --key, else those of the home; none is nil.
func (f *repositoryFlags) trusted() (*sign.Keyring, error) {
	files := f.keys
	if f.unsigned && len(files) > 0 {
		return nil, fault.Newf(fault.Usage, "--key and --unsigned contradict each other")
	}
	if len(files) == 0 && !f.unsigned {
		home, _, err := dirs()
		if err != nil {
			return nil, err
		}
		if files, err = filepath.Glob(filepath.Join(home, "keys", "*.asc")); err != nil {
			return nil, err
		}
	}
	var rings []*sign.Keyring
	for _, path := range files {
		data, err := input.Read(path, 1<<20)
		if err != nil {
			return nil, fault.Newf(fault.Usage, "cannot read key %s: %w", path, err)
		}
		if len(f.keys) == 0 && bytes.Contains(data, []byte("-----BEGIN PGP PRIVATE KEY BLOCK-----")) {
			continue // one that signs, as that of server trees
		}
		ring, err := sign.ReadKeyring(path, data)
		if err != nil {
			return nil, fault.Newf(fault.Preflight, "%w", err).WithHint("a key is what \"gpg --export --armor\" writes")
		}
		rings = append(rings, ring)
	}
	if len(rings) == 0 {
		return nil, nil
	}
	return sign.Join(rings...), nil
}

// signer reads the private key of --sign; "" is none.
func signer(path string) (*sign.Key, error) {
	if path == "" {
		return nil, nil
	}
	data, err := input.Read(path, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Newf(fault.Usage, "there is no key %s", path)
	}
	if err != nil {
		return nil, err
	}
	return sign.ReadKey(path, data, []byte(environ(passphraseVariable)), now())
}

// branchOf reads a label or a branch.
func branchOf(text string) (group.Version, error) {
	if !strings.HasPrefix(text, "/") {
		if _, err := group.ParseLabel(text); err != nil {
			return group.Version{}, err
		}
		text = "/" + text
	}
	v, err := group.ParseVersion(text)
	if err == nil && !v.IsBranch() {
		return v, fault.Newf(fault.Usage, "%s is a version, not a label or branch", text)
	}
	return v, err
}

// search says where to look in an index: on the labels that were given, else on the own one,
// else on the only one.
func (f *repositoryFlags) search(x *repository.Index, s group.Spec) (group.Search, error) {
	// Whatever system somebody has: he looks for what he asks for, in all flavors.
	search := group.Search{Query: flavor.Query{Rule: flavor.Installed, All: true}}
	for _, text := range f.labels {
		l, err := group.ParseLabel(text)
		if err != nil {
			return search, err
		}
		search.Labels = append(search.Labels, l)
	}
	if len(search.Labels) > 0 {
		return search, nil
	}
	var all []group.Label
	for _, r := range x.Records {
		if l := r.Version.Label(); !slices.Contains(all, l) {
			all = append(all, l)
		}
	}
	own, err := group.ParseLabel(or(environ(labelVariable), ownLabel))
	if err != nil {
		return search, err
	}
	whole := s.Version != nil && strings.ContainsAny(*s.Version, "/@:")
	switch {
	case slices.Contains(all, own):
		search.Labels = []group.Label{own}
	case len(all) == 1 || whole:
		search.Labels = all
	default:
		var names []string
		for _, l := range all {
			names = append(names, l.String())
		}
		return search, fault.Newf(fault.Choice, "%s is on several labels: %s", s.Name, strings.Join(names, ", ")).
			WithHint("name one: --label LABEL, or %s=LABEL", s.Name)
	}
	return search, nil
}

// find finds what a spec names.
func (f *repositoryFlags) find(ctx context.Context, r *repository.Repository, text string) (*repository.Index, []group.Trove, error) {
	spec, err := group.ParseSpec(text)
	if err != nil {
		return nil, nil, err
	}
	x, err := r.Index(ctx, spec.Name)
	if err != nil {
		return nil, nil, err
	}
	if spec.Flavor != nil {
		if err := known(*spec.Flavor, x.Flavors); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", text, err)
		}
	}
	search, err := f.search(x, spec)
	if err != nil {
		return nil, nil, err
	}
	found, err := search.Find(x.Stock(), spec)
	return x, found, err
}

// known refuses what a spec's flavor asks for that neither ingot nor any version knows, and
// architectures that stand where flags do or are called as Debian calls them.
func known(asked flavor.Flavor, there []flavor.Flavor) error {
	declared := flavor.Builtin()
	if err := declared.Trapped(asked); err != nil {
		return err
	}
	return declared.Check(asked, there...)
}

// one finds the one version that a spec names, and its flavors that suit.
func (f *repositoryFlags) one(ctx context.Context, r *repository.Repository, text string) (*repository.Group, []group.Trove, error) {
	x, found, err := f.find(ctx, r, text)
	if err != nil {
		return nil, nil, err
	}
	// Of several versions of one branch, as flavors that only an older one has, the newest.
	newest := found[0].Version
	var branches []string
	for _, t := range found {
		if !t.Version.Branch().Equal(newest.Branch()) && !slices.Contains(branches, t.Version.String()) {
			branches = append(branches, t.Version.String())
		}
		if t.Version.Compare(newest) > 0 {
			newest = t.Version
		}
	}
	if len(branches) > 0 {
		return nil, nil, fault.Newf(fault.Choice, "%s names several versions: %s, %s", text, newest, strings.Join(branches, ", ")).
			WithHint("name one of them whole")
	}
	rec, ok := x.Record(newest)
	if !ok {
		return nil, nil, fault.Newf(fault.NotFound, "%s was not found", text)
	}
	g, err := r.Load(ctx, x.Name, rec)
	if err == nil {
		err = x.Agrees(g)
	}
	if err == nil {
		spec, _ := group.ParseSpec(text) // which find has read
		err = r.Fresh(ctx, x, g, spec.NamesRevision())
	}
	found = slices.DeleteFunc(found, func(t group.Trove) bool { return !t.Version.Equal(newest) })
	return g, found, err
}

// treeOf is the tree of a group that a spec's flavor and a purpose leave.
func treeOf(g *repository.Group, found []group.Trove, text, purpose string) (repository.Tree, error) {
	var fit []repository.Tree
	var names []string
	for _, t := range g.Content.Trees {
		f, err := repository.FlavorOf(t.Arch, t.Flavor)
		if err != nil {
			return repository.Tree{}, err
		}
		if slices.ContainsFunc(found, func(x group.Trove) bool { return x.Flavor.Equal(f) }) && (purpose == "" || t.Purpose == purpose) {
			fit = append(fit, t)
			names = append(names, t.Purpose+" ["+f.String()+"]")
		}
	}
	switch len(fit) {
	case 1:
		return fit[0], nil
	case 0:
		return repository.Tree{}, fault.Newf(fault.NotFound, "%s has no tree for a %s", g, purpose)
	}
	return repository.Tree{}, fault.Newf(fault.Choice, "%s has several trees: %s", text, strings.Join(names, ", ")).
		WithHint("name a flavor, %s[FLAVOR], and a purpose with --purpose", g)
}

// bring brings all that a build of a group reads into a store, where it stays until release is
// called; fetched hears of bytes.
func bring(ctx context.Context, s *store.Store, g *repository.Group, fetched func(bytes int64)) (release func(), err error) {
	lease, err := s.Lease(ctx, g.Needs())
	if err != nil {
		return nil, err
	}
	if err := g.Fetch(ctx, s, fetched); err != nil {
		lease.Release()
		return nil, err
	}
	return lease.Release, nil
}

// treeFlags are those of verbs about one tree of a version.
type treeFlags struct {
	repositoryFlags
	purpose string
}

func (f *treeFlags) add(cmd *cobra.Command) {
	f.addSpec(cmd)
	cmd.Flags().StringVar(&f.purpose, "purpose", "", "container, system, machine or live, where there are several")
}

// tree is the one tree that a spec and a purpose name.
func (f *treeFlags) tree(ctx context.Context, spec string) (*repository.Group, repository.Tree, error) {
	r, err := f.open()
	if err != nil {
		return nil, repository.Tree{}, err
	}
	g, found, err := f.one(ctx, r, spec)
	if err != nil {
		return nil, repository.Tree{}, err
	}
	t, err := treeOf(g, found, spec, f.purpose)
	return g, t, err
}
