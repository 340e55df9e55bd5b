package place

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	godigest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/errcode"
	"oras.land/oras-go/v2/registry/remote/retry"

	"ingot/internal/digest"
	"ingot/internal/fault"
)

// registry is a place in an OCI registry. An object is a manifest with one layer, the
// object's bytes, under a tag that its name makes.
type registry struct {
	repo *remote.Repository
	text string
}

// objectType is the kind of artifact that an object is.
const objectType = "application/vnd.ingot.object.v1"

// openOCI opens HOST/NAME. Credentials are those of Docker and Podman: DOCKER_CONFIG or
// ~/.docker/config.json with its helpers, REGISTRY_AUTH_FILE.
func openOCI(rest string, env Getenv) (Place, error) {
	text := "oci://" + rest
	if strings.ContainsAny(strings.TrimPrefix(rest, hostOf(rest)), ":@") {
		return nil, fault.Newf(fault.Usage, "%s names a tag or digest", bounded(text)).WithHint("%s", placeHint)
	}
	repo, err := remote.NewRepository(strings.TrimSuffix(rest, "/"))
	if err != nil {
		return nil, fault.Newf(fault.Usage, "%s is no place: %w", bounded(text), err).WithHint("%s", placeHint)
	}
	repo.PlainHTTP = isLoopback(hostOf(rest)) // as Docker has it
	client := &auth.Client{Client: retry.DefaultClient, Cache: auth.NewCache()}
	client.SetUserAgent("ingot")
	if store, err := credentialStore(env); err == nil {
		client.Credential = credentials.Credential(store)
	} else {
		return nil, fault.Newf(fault.Preflight, "cannot read the credentials of registries: %w", err)
	}
	repo.Client = client
	return &registry{repo, strings.TrimSuffix(text, "/")}, nil
}

func credentialStore(env Getenv) (credentials.Store, error) {
	if path := env("REGISTRY_AUTH_FILE"); path != "" {
		return credentials.NewStore(path, credentials.StoreOptions{})
	}
	if dir := env("DOCKER_CONFIG"); dir != "" {
		return credentials.NewStore(filepath.Join(dir, "config.json"), credentials.StoreOptions{})
	}
	if env("HOME") == "" {
		return credentials.NewMemoryStore(), nil
	}
	return credentials.NewStore(filepath.Join(env("HOME"), ".docker", "config.json"), credentials.StoreOptions{})
}

func hostOf(rest string) string {
	host, _, _ := strings.Cut(rest, "/")
	return host
}

func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (r *registry) String() string { return r.text }
func (r *registry) Remote() bool   { return true }

// tagOf makes a tag of a name: what a tag cannot have is "_" and two hexadecimal digits.
// So no name makes a tag with "__", which claims have.
func tagOf(name string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	tag := escaped(name)
	if len(tag)+len(claimMark)+claimDigits > 128 {
		return "", fmt.Errorf("%q is too long a name for a registry", bounded(name))
	}
	return tag, nil
}

func escaped(name string) string {
	var b strings.Builder
	for i, c := range []byte(name) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || i > 0 && (c == '.' || c == '-') {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02X", c)
		}
	}
	return b.String()
}

// nameOf is the name that a tag was made of.
func nameOf(tag string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(tag); i++ {
		if tag[i] != '_' {
			b.WriteByte(tag[i])
			continue
		}
		if i+3 > len(tag) {
			return "", false
		}
		c, err := hex.DecodeString(tag[i+1 : i+3])
		if err != nil {
			return "", false
		}
		b.Write(c)
		i += 2
	}
	name := b.String()
	again, err := tagOf(name)
	return name, err == nil && again == tag
}

// failed says what a registry's answer means. The addresses in messages of the client may
// bear signatures, so they are not repeated.
func (r *registry) failed(what, name string, err error) error {
	if err == nil {
		return nil
	}
	at := r.text
	if name != "" {
		at = name + " of " + at
	}
	answer, answered := errors.AsType[*errcode.ErrorResponse](err)
	_, coded := errors.AsType[*fault.Error](err)
	switch {
	case coded, errors.Is(err, context.Canceled), errors.Is(err, ErrChanged), errors.Is(err, fs.ErrNotExist):
		return err
	case errors.Is(err, errdef.ErrNotFound), answered && answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s: %w", at, fs.ErrNotExist)
	case errors.Is(err, auth.ErrBasicCredentialNotFound),
		answered && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden):
		return fault.Newf(fault.Preflight, "cannot %s %s: the registry refuses", what, at).
			WithHint("log in, as with 'podman login' or 'docker login'; ingot reads REGISTRY_AUTH_FILE, DOCKER_CONFIG and ~/.docker/config.json")
	case answered && answer.StatusCode >= 500:
		return fault.Newf(fault.Unreachable, "cannot %s %s: status %d", what, at, answer.StatusCode)
	case answered:
		return fault.Newf(fault.Failed, "cannot %s %s: status %d: %w", what, at, answer.StatusCode, answer.Errors)
	}
	return fault.Newf(fault.Unreachable, "cannot %s %s: %w", what, at, withoutAddress(err))
}

// withoutAddress leaves out of an error the request that it was about.
func withoutAddress(err error) error {
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e
	}
	if e, ok := errors.AsType[interface {
		error
		Timeout() bool
		Unwrap() error
	}](err); ok { // *url.Error
		return e.Unwrap()
	}
	return err
}

// manifestOf is the manifest of an object; with no bytes, of one that was removed.
func manifestOf(name string, layer *ocispec.Descriptor) ([]byte, ocispec.Descriptor) {
	m := ocispec.Manifest{
		Versioned: ocispecs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: objectType, Config: ocispec.DescriptorEmptyJSON,
	}
	m.Config.Data = nil
	if layer != nil {
		layer.Annotations = map[string]string{ocispec.AnnotationTitle: name}
		m.Layers = []ocispec.Descriptor{*layer}
	} else {
		empty := ocispec.DescriptorEmptyJSON
		empty.Data = nil
		m.Layers = []ocispec.Descriptor{empty}
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // it has nothing that JSON could not say
	}
	return b, ocispec.Descriptor{MediaType: m.MediaType, Digest: godigest.FromBytes(b), Size: int64(len(b))}
}

// maxManifest bounds the manifest of an object.
const maxManifest = 64 << 10

// find gives the descriptor of an object's bytes.
func (r *registry) find(ctx context.Context, name string) (ocispec.Descriptor, error) {
	tag, err := tagOf(name)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return r.findTag(ctx, tag)
}

func (r *registry) findTag(ctx context.Context, tag string) (ocispec.Descriptor, error) {
	var none ocispec.Descriptor
	d, body, err := r.repo.Manifests().FetchReference(ctx, tag)
	if err != nil {
		return none, err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxManifest))
	if err != nil {
		return none, err
	}
	if d.Digest != godigest.FromBytes(b) {
		return none, fault.Newf(fault.Verification, "%s answers with a manifest that has not its digest", r.text)
	}
	if _, gone := manifestOf("", nil); d.Digest == gone.Digest {
		return none, errdef.ErrNotFound
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(b, &m); err != nil || m.ArtifactType != objectType || len(m.Layers) != 1 || m.Layers[0].Size < 0 {
		return none, fault.Newf(fault.Verification, "tag %s of %s is not ingot's", tag, r.text)
	}
	return m.Layers[0], nil
}

func (r *registry) Stat(ctx context.Context, name string) (Info, error) {
	d, err := r.find(ctx, name)
	if err != nil {
		return Info{}, r.failed("look for", name, err)
	}
	return Info{Size: d.Size}, nil
}

func (r *registry) Open(ctx context.Context, name string) (io.ReadCloser, Info, error) {
	d, err := r.find(ctx, name)
	var body io.ReadCloser
	if err == nil {
		body, err = r.repo.Blobs().Fetch(ctx, d)
	}
	if err != nil {
		return nil, Info{}, r.failed("read", name, err)
	}
	return &told{body, func(err error) error { return r.failed("read", name, err) }}, Info{Size: d.Size}, nil
}

func (r *registry) Put(ctx context.Context, name string, body *io.SectionReader, when Condition) (Info, error) {
	tag, err := tagOf(name)
	if err != nil {
		return Info{}, err
	}
	info, err := r.put(ctx, name, tag, body, when)
	return info, r.failed("write", name, err)
}

func (r *registry) put(ctx context.Context, name, tag string, body *io.SectionReader, when Condition) (Info, error) {
	sum, _, err := digest.Reader(io.NewSectionReader(body, 0, body.Size()))
	if err != nil {
		return Info{}, err
	}
	layer := ocispec.Descriptor{MediaType: "application/octet-stream", Digest: godigest.NewDigestFromEncoded(godigest.SHA256, sum.String()), Size: body.Size()}
	if err := r.bring(ctx, layer, body); err != nil {
		return Info{}, err
	}
	if err := r.bring(ctx, ocispec.DescriptorEmptyJSON, Text([]byte("{}"))); err != nil {
		return Info{}, err
	}
	text, d := manifestOf(name, &layer)
	write := func(ctx context.Context) error {
		return r.repo.Manifests().PushReference(ctx, d, strings.NewReader(string(text)), tag)
	}
	if when == Always {
		return Info{layer.Size, sum.String()}, write(ctx)
	}
	return Info{layer.Size, sum.String()}, alone(ctx, tagClaims{r, tag}, func(ctx context.Context) error {
		var there *Info
		is, err := r.findTag(ctx, tag)
		switch err := r.failed("look for", name, err); {
		case err == nil:
			there = &Info{is.Size, is.Digest.Encoded()}
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		if !when.holds(there) {
			return ErrChanged
		}
		return write(ctx)
	})
}

// bring uploads bytes that the registry does not have.
func (r *registry) bring(ctx context.Context, d ocispec.Descriptor, body *io.SectionReader) error {
	d.Data = nil
	if ok, err := r.repo.Blobs().Exists(ctx, d); err != nil || ok {
		return err
	}
	return r.repo.Blobs().Push(ctx, d, io.NewSectionReader(body, 0, body.Size()))
}

func (r *registry) Remove(ctx context.Context, name string) error {
	tag, err := tagOf(name)
	if err != nil {
		return err
	}
	if _, err = r.findTag(ctx, tag); err == nil {
		err = r.removeTag(ctx, tag)
	}
	err = r.failed("remove", name, err)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeTag takes a tag away; where a registry takes none away, it says that it was.
func (r *registry) removeTag(ctx context.Context, tag string) error {
	gone, err := r.untag(ctx, tag)
	if err != nil || gone {
		return err
	}
	if err := r.bring(ctx, ocispec.DescriptorEmptyJSON, Text([]byte("{}"))); err != nil {
		return err
	}
	text, d := manifestOf("", nil)
	return r.repo.Manifests().PushReference(ctx, d, strings.NewReader(string(text)), tag)
}

// untag asks the registry to forget a tag, and says whether it did. The client's Delete
// would take away the manifest, and so other tags of it.
func (r *registry) untag(ctx context.Context, tag string) (bool, error) {
	scheme := "https"
	if r.repo.PlainHTTP {
		scheme = "http"
	}
	ctx = auth.AppendRepositoryScope(ctx, r.repo.Reference, auth.ActionDelete)
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, scheme+"://"+r.repo.Reference.Host()+"/v2/"+r.repo.Reference.Repository+"/manifests/"+tag, nil)
	if err != nil {
		return false, err
	}
	resp, err := r.repo.Client.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode/100 == 2:
		return true, nil
	case resp.StatusCode == http.StatusMethodNotAllowed, resp.StatusCode == http.StatusBadRequest, resp.StatusCode == http.StatusNotImplemented, resp.StatusCode == http.StatusForbidden:
		return false, nil
	}
	return false, fault.Newf(fault.Unreachable, "cannot remove a tag of %s: status %d", r.text, resp.StatusCode)
}

// tags are those that begin with a prefix.
func (r *registry) tags(ctx context.Context, prefix string) ([]string, error) {
	var out []string
	err := r.repo.Tags(ctx, "", func(page []string) error {
		for _, t := range page {
			if strings.HasPrefix(t, prefix) {
				out = append(out, t)
			}
		}
		return nil
	})
	if err = r.failed("list", "", err); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a repository begins with its first object
	}
	return out, err
}

func (r *registry) List(ctx context.Context, prefix string) ([]string, error) {
	tags, err := r.tags(ctx, escaped(prefix))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, t := range tags {
		name, ok := nameOf(t)
		if !ok || !strings.HasPrefix(name, prefix) {
			continue
		}
		// On registries that delete nothing, removed ones are listed too.
		if r.keepsAll(ctx) {
			if _, err := r.Stat(ctx, name); errors.Is(err, fs.ErrNotExist) {
				continue
			} else if err != nil {
				return nil, err
			}
		}
		out = append(out, name)
	}
	slices.SortFunc(out, cmp.Compare[string])
	return out, nil
}

// keepsAll says whether something was ever removed here by saying so.
func (r *registry) keepsAll(ctx context.Context) bool {
	_, d := manifestOf("", nil)
	ok, err := r.repo.Manifests().Exists(ctx, d)
	return err == nil && ok
}
