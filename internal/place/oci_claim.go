package place

import (
	"context"
	"strings"

	godigest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// claimMark stands in a tag between an object's and the claim's digits.
const claimMark = "__"

// tagClaims are the claims on a tag, which are tags beside it.
type tagClaims struct {
	r   *registry
	tag string
}

func (c tagClaims) put(ctx context.Context, id string) error {
	text, d := claimManifest(id)
	return c.r.repo.Manifests().PushReference(ctx, d, strings.NewReader(text), c.tag+claimMark+id)
}

func (c tagClaims) remove(ctx context.Context, id string) error {
	return c.r.removeTag(ctx, c.tag+claimMark+id)
}

func (c tagClaims) list(ctx context.Context) ([]string, error) {
	all, err := c.r.tags(ctx, c.tag+claimMark)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	keeps := c.r.keepsAll(ctx)
	_, gone := manifestOf("", nil)
	var live []string
	for _, t := range all {
		if keeps {
			if d, err := c.r.repo.Manifests().Resolve(ctx, t); err == nil && d.Digest == gone.Digest {
				continue
			}
		}
		live = append(live, strings.TrimPrefix(t, c.tag+claimMark))
	}
	return live, nil
}

// claimManifest is another one for each claim: to take down one's own must not take
// down that of somebody else.
func claimManifest(id string) (string, ocispec.Descriptor) {
	text := `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `","artifactType":"` + objectType +
		`","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"` + ocispec.DescriptorEmptyJSON.Digest.String() + `","size":2},"layers":[],"annotations":{"claim":"` + id + `"}}`
	return text, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: godigest.FromString(text), Size: int64(len(text))}
}
