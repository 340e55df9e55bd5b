package place

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"ingot/internal/digest"
	"ingot/internal/fault"
)

// bucket is a place in S3.
type bucket struct {
	client *minio.Client
	bucket string
	prefix string // "" or ending in "/"
}

// openS3 opens BUCKET/PREFIX. Where S3 is and who asks is said as to the programs of
// AWS: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, AWS_REGION or AWS_DEFAULT_REGION;
// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, else the profile AWS_PROFILE of
// AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials.
func openS3(rest string, env Getenv) (Place, error) {
	name, prefix, _ := strings.Cut(rest, "/")
	prefix = strings.Trim(prefix, "/")
	if name == "" {
		return nil, fault.Newf(fault.Usage, "s3://%s names no bucket", bounded(rest)).WithHint("%s", placeHint)
	}
	if prefix != "" {
		if err := CheckName(prefix); err != nil {
			return nil, fault.Newf(fault.Usage, "s3://%s: %w", bounded(rest), err)
		}
		prefix += "/"
	}
	endpoint := cmp.Or(env("AWS_ENDPOINT_URL_S3"), env("AWS_ENDPOINT_URL"), "https://s3.amazonaws.com")
	at, err := url.Parse(endpoint)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" || at.User != nil {
		return nil, fault.Newf(fault.Usage, "AWS_ENDPOINT_URL is no address of a server").WithHint("write https://HOST")
	}
	c, err := minio.New(at.Host, &minio.Options{
		Secure: at.Scheme == "https",
		Region: cmp.Or(env("AWS_REGION"), env("AWS_DEFAULT_REGION"), "us-east-1"),
		Creds: credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{},
		}),
	})
	if err != nil {
		return nil, fault.Newf(fault.Usage, "cannot use s3://%s: %w", bounded(rest), err)
	}
	return &bucket{c, name, prefix}, nil
}

func (b *bucket) String() string {
	return "s3://" + strings.TrimSuffix(b.bucket+"/"+b.prefix, "/")
}

func (b *bucket) Remote() bool { return true }

func (b *bucket) key(name string) (string, error) { return b.prefix + name, CheckName(name) }

// failed says what S3's answer means. Messages of the client name no credentials.
func (b *bucket) failed(what, name string, err error) error {
	if err == nil {
		return nil
	}
	at := b.String()
	if name != "" {
		at = name + " of " + at
	}
	r := minio.ToErrorResponse(err)
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case r.Code == minio.NoSuchBucket:
		return fault.Newf(fault.NotFound, "there is no bucket %s", b.bucket).WithHint("make it first, or look at AWS_ENDPOINT_URL")
	case r.Code == minio.NoSuchKey, r.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s: %w", at, fs.ErrNotExist)
	case r.StatusCode == http.StatusPreconditionFailed, r.StatusCode == http.StatusConflict:
		return ErrChanged
	case coded(err):
		return err
	case r.StatusCode == http.StatusUnauthorized, r.StatusCode == http.StatusForbidden:
		return fault.Newf(fault.Preflight, "cannot %s %s: the server refuses (%s)", what, at, cmp.Or(r.Code, "access denied")).
			WithHint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
	case r.StatusCode == 0 || r.StatusCode >= 500:
		return fault.Newf(fault.Unreachable, "cannot %s %s: %w", what, at, err).WithHint("is the server up, and AWS_ENDPOINT_URL its address?")
	}
	return fault.Newf(fault.Failed, "cannot %s %s: %w", what, at, err)
}

func (b *bucket) Stat(ctx context.Context, name string) (Info, error) {
	key, err := b.key(name)
	if err != nil {
		return Info{}, err
	}
	o, err := b.client.StatObject(ctx, b.bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return Info{}, b.failed("look for", name, err)
	}
	return Info{Size: o.Size}, nil
}

func (b *bucket) Open(ctx context.Context, name string) (io.ReadCloser, Info, error) {
	key, err := b.key(name)
	if err != nil {
		return nil, Info{}, err
	}
	// The core's GetObject asks once, and gives the bytes of that answer.
	core := minio.Core{Client: b.client}
	r, o, _, err := core.GetObject(ctx, b.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, Info{}, b.failed("read", name, err)
	}
	return &told{r, func(err error) error { return b.failed("read", name, err) }}, Info{Size: o.Size}, nil
}

// told reads, and has its errors explained.
type told struct {
	io.ReadCloser
	explain func(error) error
}

func (t *told) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = t.explain(err)
	}
	return n, err
}

// whole reads an object that is written on condition, with its entity tag; nil where
// there is none. Who calls it has the only claim, so both are of one writing.
func (b *bucket) whole(ctx context.Context, name, key string) (*Info, string, error) {
	core := minio.Core{Client: b.client}
	r, o, _, err := core.GetObject(ctx, b.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, "", b.failed("read", name, err)
	}
	defer r.Close()
	sum, n, err := digest.Reader(io.LimitReader(r, o.Size))
	if err != nil {
		return nil, "", b.failed("read", name, err)
	}
	return &Info{n, sum.String()}, o.ETag, nil
}

func (b *bucket) Put(ctx context.Context, name string, body *io.SectionReader, when Condition) (Info, error) {
	key, err := b.key(name)
	if err != nil {
		return Info{}, err
	}
	write := func(ctx context.Context, opts minio.PutObjectOptions) (Info, error) {
		opts.ContentType = "application/octet-stream"
		o, err := b.client.PutObject(ctx, b.bucket, key, io.NewSectionReader(body, 0, body.Size()), body.Size(), opts)
		return Info{Size: o.Size}, b.failed("write", name, err)
	}
	if when == Always {
		return write(ctx, minio.PutObjectOptions{})
	}
	sum, _, err := digest.Reader(io.NewSectionReader(body, 0, body.Size()))
	if err != nil {
		return Info{}, err
	}
	var info Info
	err = alone(ctx, keyClaims{b, b.prefix + ".claims/" + name + "/"}, func(ctx context.Context) error {
		there, tag, err := b.whole(ctx, name, key)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if !when.holds(there) {
			return ErrChanged
		}
		// Servers that keep to conditions also hold off who writes without a claim.
		var opts minio.PutObjectOptions
		if there == nil {
			opts.SetMatchETagExcept("*")
		} else {
			opts.SetMatchETag(tag)
		}
		info, err = write(ctx, opts)
		info.Mark = sum.String()
		return err
	})
	return info, err
}

// keyClaims are the claims on an object: small ones whose keys no name has.
type keyClaims struct {
	b   *bucket
	top string
}

func (c keyClaims) put(ctx context.Context, id string) error {
	_, err := c.b.client.PutObject(ctx, c.b.bucket, c.top+id, strings.NewReader(id), int64(len(id)), minio.PutObjectOptions{})
	return c.b.failed("write to", "", err)
}

func (c keyClaims) list(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var ids []string
	for o := range c.b.client.ListObjects(ctx, c.b.bucket, minio.ListObjectsOptions{Prefix: c.top, Recursive: true}) {
		if o.Err != nil {
			return nil, c.b.failed("list", "", o.Err)
		}
		ids = append(ids, strings.TrimPrefix(o.Key, c.top))
	}
	return ids, ctx.Err()
}

func (c keyClaims) remove(ctx context.Context, id string) error {
	return c.b.failed("write to", "", c.b.client.RemoveObject(ctx, c.b.bucket, c.top+id, minio.RemoveObjectOptions{}))
}

func (b *bucket) Remove(ctx context.Context, name string) error {
	key, err := b.key(name)
	if err != nil {
		return err
	}
	err = b.failed("remove", name, b.client.RemoveObject(ctx, b.bucket, key, minio.RemoveObjectOptions{}))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (b *bucket) List(ctx context.Context, prefix string) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var out []string
	for o := range b.client.ListObjects(ctx, b.bucket, minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, b.failed("list", "", o.Err)
		}
		if name := strings.TrimPrefix(o.Key, b.prefix); CheckName(name) == nil {
			out = append(out, name)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	slices.Sort(out)
	return out, nil
}

func coded(err error) bool {
	_, ok := errors.AsType[*fault.Error](err)
	return ok
}

// Walk gives the objects whose names begin with a prefix, with their sizes and when each was
// written.
func (b *bucket) Walk(ctx context.Context, prefix string, found func(name string, size int64, written time.Time) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for o := range b.client.ListObjects(ctx, b.bucket, minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return b.failed("list", "", o.Err)
		}
		name := strings.TrimPrefix(o.Key, b.prefix)
		if CheckName(name) != nil {
			continue
		}
		if err := found(name, o.Size, o.LastModified); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// copyMost is how large an object may be that S3 copies at once.
const copyMost = 5 << 30

// Copy gives the bytes of an object a second name, without moving them through here.
func (b *bucket) Copy(ctx context.Context, from, to string) error {
	source, err := b.key(from)
	if err != nil {
		return err
	}
	target, err := b.key(to)
	if err != nil {
		return err
	}
	o, err := b.client.StatObject(ctx, b.bucket, source, minio.StatObjectOptions{})
	if err != nil {
		return b.failed("look for", from, err)
	}
	dst, src := minio.CopyDestOptions{Bucket: b.bucket, Object: target}, minio.CopySrcOptions{Bucket: b.bucket, Object: source}
	if o.Size < copyMost {
		_, err = b.client.CopyObject(ctx, dst, src)
	} else {
		_, err = b.client.ComposeObject(ctx, dst, src)
	}
	return b.failed("copy", from, err)
}

// Same says whether two objects are known to have the same bytes. False is that they may.
func (b *bucket) Same(ctx context.Context, one, other string) (bool, error) {
	var tags [2]minio.ObjectInfo
	for n, name := range []string{one, other} {
		key, err := b.key(name)
		if err != nil {
			return false, err
		}
		if tags[n], err = b.client.StatObject(ctx, b.bucket, key, minio.StatObjectOptions{}); err != nil {
			if err = b.failed("look for", name, err); errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			return false, err
		}
	}
	return tags[0].Size == tags[1].Size && tags[0].ETag == tags[1].ETag && tags[0].ETag != "", nil
}
